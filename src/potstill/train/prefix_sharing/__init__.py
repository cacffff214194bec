"""Training that computes what examples begin alike only once, forward and backward.

D rationales to a question make D examples with one prompt. A batch's sequences become a forest
(:mod:`.tree`), which goes through the model as one row of tokens without padding; only attention
needs to know of the branches (:mod:`.attention`). Loss and gradients are those of the plain batch.
The same idea is used for inference in SpecInfer's tree attention (arXiv 2305.09781) and in Hydragen
(arXiv 2402.05099).
"""

from potstill.train.prefix_sharing.attention import Layout, can_share, enable, layout, use
from potstill.train.prefix_sharing.tree import Forest, forest

__all__ = ["Forest", "Layout", "can_share", "enable", "forest", "layout", "use"]
