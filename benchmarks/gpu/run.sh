#!/usr/bin/env bash
# Everything that needs a GPU, in under nine minutes from a bare machine without a network.
#
#   benchmarks/gpu/run.sh [--wheels FOLDER] [--gguf FILE...] [--model FOLDER] [--device cuda] [--quick]
#
# The machine has Python 3.12, torch, transformers, accelerate, peft, safetensors and tokenizers.
# --wheels: wheels of pydantic, orjson, rich, click, scipy and gguf, and of liger-kernel where it is
#           to be measured; they are unpacked beside, and nothing is installed.
# --gguf:   SmolLM2-135M-Instruct's file, or its halves in order; or --model, a folder with it.
# --device cpu --quick runs all of it on a processor, small: what it proves is that it works.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
work=${OUT:-$(mktemp -d)}
python=${PYTHON:-python3}
wheels= model= halves=() rest=()
while [ $# -gt 0 ]; do
  case $1 in
    --wheels) wheels=$2; shift 2 ;;
    --model) model=$2; shift 2 ;;
    --gguf) shift; while [ $# -gt 0 ] && [[ $1 != --* ]]; do halves+=("$1"); shift; done ;;
    *) rest+=("$1"); shift ;;
  esac
done
export PYTHONPATH=$root/src:$root/benchmarks:$root/scripts
if [ -n "$wheels" ]; then
  "$python" -m pip install --quiet --no-index --no-deps --target "$work/wheels" "$wheels"/*.whl
  export PYTHONPATH=$PYTHONPATH:$work/wheels
fi
if [ -z "$model" ]; then
  [ ${#halves[@]} -gt 0 ] || { echo "give --model FOLDER, or --gguf with the file or its halves" >&2; exit 2; }
  cat "${halves[@]}" > "$work/model.gguf"
  model=$work/SmolLM2-135M-Instruct
  "$python" - "$work/model.gguf" "$model" <<'PYTHON'
import sys
from pathlib import Path

from real_model import read_gguf, write_model

folder = Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
write_model(*read_gguf(Path(sys.argv[1])), folder)
PYTHON
fi
exec "$python" "$root/benchmarks/gpu/measure.py" "$model" --out "${OUT:-$root/benchmarks/results}" ${rest[@]+"${rest[@]}"}
