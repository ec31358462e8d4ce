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

# Messages go through the function that makes every other text of the page mean nothing but itself.
inert='
import sys
from ketameta.review.document import Bullets, Paragraph, as_markdown
sys.stdin.reconfigure(encoding="utf-8", errors="replace")
said = tuple(line.strip() for line in sys.stdin.read(20_000).splitlines() if line.strip())
sys.stdout.write(as_markdown([Paragraph(f"ketameta {sys.argv[1]} stopped:"), Bullets(said)]))
'

# Adds the output of a command to the page; where it stops, what it says.
add() {
  if .venv/bin/ketameta "$@" --format markdown > "$work/part" 2> "$work/message"; then
    cat "$work/part" >> "$page"
  else
    cat "$work/part" "$work/message" | .venv/bin/python -c "$inert" "$1" >> "$page"
  fi
  printf '\n' >> "$page"
}

# Folder names come from the pull request: they are only ever used as quoted arguments.
git diff --name-only --diff-filter=ACMR -z "$base"...HEAD -- data/extracted |
  tr '\n\0' '?\n' | awk -F/ 'NF > 3 { print $3 }' | sort -u > "$work/batches"
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
