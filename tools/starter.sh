#!/usr/bin/env bash
# Makes models/starter: trains with the preset `starter`, releases what was trained, and stores it small. Every step
# does nothing where its work is already done. Options go to tools/bootstrap.py.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/steps.sh

refuse() {
  cat >&2 <<END
error: $1

usage: make starter FROM=FOLDER WEIGHTS=FILE [COMMIT='Train the starter'] [DRY_RUN=yes]
  FROM     a folder that holds Flickr8k_Dataset.zip and Flickr8k_text.zip; or \`download\`, 1.1 GB
  WEIGHTS  the safetensors file of the encoder that src/captiongen/presets/starter.yaml names; or \`preset\`: what the
           preset says of them holds, as for an encoder whose weights the model hub has
  COMMIT   commits params.yaml and the pointers under data/raw with this message, and nothing else; without it the
           command stops where a commit is needed
  DRY_RUN  prints the commands instead
END
  exit 2
}

# What a release would refuse: code, settings or data pointers that differ from the commit.
changes() {
  python -c 'from pathlib import Path; from captiongen.adapters.git_state import read_git_state
print(*read_git_state(Path()).changed, sep="\n")'
}

is_ours() { [[ $1 == params.yaml || $1 == data/raw/*.dvc || $1 == data/raw/*.gitignore ]]; }

need_no_other_changes() {
  local found path others=()
  found=$(changes) || return
  while read -r path; do
    [ -z "$path" ] || is_ours "$path" || others+=("$path")
  done <<<"$found"
  [ ${#others[@]} = 0 ] && return
  echo "error: expected the code of a commit, which the starter will name; found changes in:" >&2
  printf '  %s\n' "${others[@]}" >&2
  echo "Commit them or put them aside (git stash), and make the starter again." >&2
  return 4
}

commit_ours() {
  local found ours=(params.yaml 'data/raw/*.dvc' 'data/raw/*.gitignore')
  found=$(changes) || return
  if [ -z "$found" ]; then
    echo "nothing to commit"
  elif [ -n "${COMMIT:-}" ]; then
    git add -- "${ours[@]}" && git commit -q -m "$COMMIT" -- "${ours[@]}" && git --no-pager log -1 --stat --format='%h %s'
  else
    echo "error: expected settings and data pointers in a commit, which the starter will name; found changes in:" >&2
    sed 's/^/  /' <<<"$found" >&2
    echo "Commit them and make the starter again; or add COMMIT='Train the starter' to the command, and it does." >&2
    return 4
  fi
}

do_or_tell() {
  if [ -z "${DRY_RUN:-}" ]; then step "$@"; else printf '%s\n    %s\n' "$1" "${*:2}"; fi
}

[ -n "${FROM:-}" ] || refuse "FROM is missing."
[ "$FROM" = download ] || [ -d "$FROM" ] || refuse "FROM=$FROM is no folder."
[ -n "${WEIGHTS:-}" ] || refuse "WEIGHTS is missing."
[ "$WEIGHTS" = preset ] || [ -f "$WEIGHTS" ] || refuse "WEIGHTS=$WEIGHTS is no file."
[ "$FROM" = download ] && from=() || from=(--from "$FROM")
[ "$WEIGHTS" = preset ] && weights=() || weights=(--weights "$WEIGHTS")

do_or_tell "environment" "${PYTHON:-python3}" tools/bootstrap.py "$@"
if [ -z "${DRY_RUN:-}" ]; then
  export PATH="$PWD/.venv/bin:$PATH"
  eval "$(captiongen env)"
fi
do_or_tell "code: as it was committed" need_no_other_changes
do_or_tell "settings: the preset starter" captiongen use starter "${weights[@]}"
do_or_tell "data: Flickr8k" captiongen fetch flickr8k "${from[@]}"
do_or_tell "commit: settings and data pointers" commit_ours
do_or_tell "pipeline: dvc repro" dvc repro
do_or_tell "release: register, gate, promote, package" captiongen release
do_or_tell "starter: the champion, stored small" captiongen make-starter
[ -n "${DRY_RUN:-}" ] && exit
echo
echo "done in $(clock). models/starter/README.md says how good it is. To keep it, commit models/starter and dvc.lock."
