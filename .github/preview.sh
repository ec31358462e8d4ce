#!/bin/sh
# Writes what a pull request changes as Markdown: a preview of each new batch, and every analysis
# against the results that the base has published.
# usage: preview.sh BASE_COMMIT PULL_REQUEST_NUMBER FOLDER
set -eu
base=$1
number=$2
folder=$3
work=$(mktemp -d)
trap 'rm -rf "$work" published' EXIT

mkdir -p "$folder"
printf '%s\n' "$number" > "$folder/number"
page=$folder/preview.md
: > "$page"

# Adds the output of a command to the page; where it stops, its message as plain text.
add() {
  if .venv/bin/ketameta "$@" --format markdown > "$work/part" 2> "$work/message"; then
    cat "$work/part" >> "$page"
  else
    # No backtick of a message can end the block.
    { printf '`ketameta %s` stopped:\n\n```text\n' "$1"
      cat "$work/part" "$work/message" | tr '`' "'" | head -c 20000
      printf '\n```\n'; } >> "$page"
  fi
  printf '\n' >> "$page"
}

# Folder names come from the pull request: they are only ever used as quoted arguments.
git diff --name-only --diff-filter=ACMR "$base"...HEAD -- data/extracted |
  awk -F/ 'NF > 3 { print $3 }' | sort -u > "$work/batches"
while IFS= read -r batch; do
  if [ -d "data/extracted/$batch" ] &&
    ! git cat-file -e "$base:data/extracted/$batch" 2> "$work/message"; then
    add preview "data/extracted/$batch"
  fi
done < "$work/batches"

# The published results of the base, without a working tree of it.
mkdir published
git archive "$base" reports/results | tar -x -C published
add diff published/reports
