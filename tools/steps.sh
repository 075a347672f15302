# shellcheck shell=bash
# For the scripts beside it: steps that say what runs, for how long, and where it stopped.

clock() { printf '%d:%02d' $((SECONDS / 60)) $((SECONDS % 60)); }

step() {
  printf '\n==> [%s] %s\n' "$(clock)" "$1"
  shift
  "$@" || {
    status=$?
    printf '\nstopped at [%s]: `%s` ended with exit code %d; its message stands above.\n' "$(clock)" "$*" "$status" >&2
    exit "$status"
  }
}
