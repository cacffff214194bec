"""Published question sets: one small file a set, with its source, licence and readers."""

from potstill.tasks.datasets.addsub import ADDSUB
from potstill.tasks.datasets.aqua import AQUA
from potstill.tasks.datasets.asdiv import ASDIV
from potstill.tasks.datasets.bbh import BBH
from potstill.tasks.datasets.coin_flip import COIN_FLIP
from potstill.tasks.datasets.commonsense_qa import COMMONSENSE_QA
from potstill.tasks.datasets.date_understanding import DATE_UNDERSTANDING
from potstill.tasks.datasets.gsm8k import GSM8K
from potstill.tasks.datasets.last_letter_concatenation import LAST_LETTER_CONCATENATION
from potstill.tasks.datasets.math import MATH
from potstill.tasks.datasets.multiarith import MULTIARITH
from potstill.tasks.datasets.pool import Dataset
from potstill.tasks.datasets.single_eq import SINGLE_EQ
from potstill.tasks.datasets.strategy_qa import STRATEGY_QA
from potstill.tasks.datasets.svamp import SVAMP
from potstill.tasks.datasets.tracking_shuffled_objects import TRACKING_SHUFFLED_OBJECTS

__all__ = ["DATASETS", "Dataset"]

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        SINGLE_EQ,
        ADDSUB,
        MULTIARITH,
        GSM8K,
        AQUA,
        SVAMP,
        DATE_UNDERSTANDING,
        TRACKING_SHUFFLED_OBJECTS,
        LAST_LETTER_CONCATENATION,
        COIN_FLIP,
        COMMONSENSE_QA,
        STRATEGY_QA,
        ASDIV,
        MATH,
        *BBH,
    )
}
"""The published sets, by task name: the twelve of Fine-tune-CoT, then others."""
