set -e -o pipefail
cd /work/wt/ssh
export OSTIARY_CORPUS=/work/shared/corpus
flock /work/wt/merge.lock sh -ec 'git rebase main && .venv/bin/python -m pyflakes gateway protocols addons tests twisted/plugins benchmarks && .venv/bin/python -m pytest -q tests/test_arrows.py tests/docs tests/ssh '"$*"' && git -C /work/main merge --ff-only ssh'
