#!/usr/bin/env bash
# Text: a licence that every Debian machine has, as bytes with a small GPT-2 to learn them, and again by a vocabulary of
# its most frequent words.
#   examples/text/prepare.sh [FOLDER]
# shellcheck source=examples/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh" text "${1:-}"
text=/usr/share/common-licenses/GPL-3
[[ -r $text ]] || text=$examples/../LICENSE

"$weft" data import "$text" -o bytes.h5 --kind text --length 64

# A vocabulary is a file with one token a line, numbered from 0: here 500 words with the space before them, then every
# character, so that no text is without tokens. The longest token that fits is taken.
{
  grep --only-matching --extended-regexp ' [A-Za-z]{2,}' "$text" | sort | uniq --count | sort --numeric-sort --reverse |
    sed --quiet 's/^ *[0-9]* //; 1,500p' | sed 's/^/ /; s/^  / /'
  # Line end, tab and backslash are escaped in a vocabulary.
  awk 'BEGIN { print "\\n"; print "\\t"; print "\\\\"; for (c = 32; c < 127; ++c) if (c != 92) printf "%c\n", c }'
  echo '<unk>'
} | awk '!seen[$0]++' >vocabulary.txt
"$weft" data import "$text" -o words.h5 --kind text --length 64 --vocabulary vocabulary.txt

"$weft" model gpt2 -o gpt2.onnx --set vocabulary=256 --set sequence=64 --set positions=64 --set width=128 --set layers=4 \
  --set heads=4 --set dropout=0.1
cp "$examples"/text/{job,mixed,mesh}.yaml .
echo "ready: $weft train $PWD/job.yaml, mixed.yaml for the same in bf16, mesh.yaml for ranks that share layers, and words.h5, with \`tokens\` and \`target\` for a model of so many words"
