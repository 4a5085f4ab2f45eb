#!/usr/bin/env bash
# Formats and lints: tests/lint.sh [--check] [--no-tidy] [FILE...]
#
#   tests/lint.sh                 formats all C++ in place, then shellcheck and clang-tidy
#   tests/lint.sh --check         changes nothing; fails where the format differs
#   tests/lint.sh FILE...         only these files
#
# clang-tidy needs a configured release build (for compile_commands.json); --no-tidy leaves it out, as it takes minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

check=false tidy=true files=()
for argument in "$@"; do
  case "$argument" in
    --check) check=true ;;
    --no-tidy) tidy=false ;;
    -h | --help)
      sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    -*)
      echo "lint: unknown option '$argument'; there is --check, --no-tidy and --help" >&2
      exit 2
      ;;
    *) files+=("$argument") ;;
  esac
done
((${#files[@]} > 0)) || mapfile -t files < <(git ls-files --cached --others --exclude-standard)

cpp=() units=() scripts=()
for file in "${files[@]}"; do
  [[ -f "$file" ]] || continue
  case "$file" in
    *.cpp) cpp+=("$file") units+=("$file") ;;
    *.hpp | *.cu) cpp+=("$file") ;;
    *.sh | .ci/run) scripts+=("$file") ;;
  esac
done

failed=0
if ((${#cpp[@]} > 0)); then
  if $check; then
    clang-format --dry-run --Werror "${cpp[@]}" || failed=1
  else
    clang-format -i "${cpp[@]}"
  fi
fi
if ((${#scripts[@]} > 0)); then
  shellcheck --external-sources "${scripts[@]}" || failed=1
fi
if $tidy && ((${#units[@]} > 0)); then
  [[ -f build/release/compile_commands.json ]] || cmake --preset release >/dev/null
  printf '%s\0' "${units[@]}" |
    xargs -0 --max-procs="${WEFT_JOBS:-$(nproc)}" --max-args=1 clang-tidy --quiet -p build/release || failed=1
fi
if ((failed)); then
  echo "lint: findings above" >&2
  exit 1
fi
echo "lint: ${#cpp[@]} C++ files and ${#scripts[@]} scripts are clean"
