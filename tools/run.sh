#!/usr/bin/env bash
# From nothing to a released captioner, on the data set that params.yaml names. Every step does nothing where its work
# is already done, so a second run is quick. Options go to tools/bootstrap.py.
set -euo pipefail
cd "$(dirname "$0")/.."

source tools/steps.sh

step "environment" "${PYTHON:-python3}" tools/bootstrap.py "$@"
export PATH="$PWD/.venv/bin:$PATH"
eval "$(captiongen env)"
step "data: what params.yaml names" captiongen fetch
step "pipeline: dvc repro" dvc repro
step "release: register, gate, promote, package" captiongen release
step "caption a held-out picture with the released model" captiongen show
cat <<END

done in $(clock). Next:
  make ui         the web page: drop a picture, see its caption and where the model looked
  make serve      the same service for programs
  captiongen caption photo.jpg --model starter    a photograph, with the captioner that comes with the repository
  make mlflow     runs, metrics, and the registry with its champion
  reports/        data card, data contract, training curves, evaluation, worst captions
END
