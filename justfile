# The few commands people use. `just` alone lists them; https://just.systems installs it.

default:
    @just --list

# an environment in .venv with everything that tests and docs need (CPU builds of torch)
setup:
    python3 -m venv .venv
    .venv/bin/pip install -c constraints.txt -e ".[test,docs]"

# lint, format, types, and the direction of imports: what pre-commit and CI check
check:
    ruff check .
    ruff format --check .
    mypy
    lint-imports

# the tests that take seconds
test *options:
    pytest -n 2 -m "not slow" {{ options }}

# the tests that take minutes
slow *options:
    pytest -n 2 -m slow {{ options }}

# files of every format that is read, changed at random for so many seconds a format
fuzz seconds="60" *options:
    BOED_FUZZ_SECONDS={{ seconds }} pytest -n 2 tests/fuzz {{ options }}

# the site, as site/; runs the gallery's scripts
docs:
    NO_MKDOCS_2_WARNING=1 mkdocs build --strict

# the notebooks, run and stored with their outputs
notebooks:
    python notebooks/execute.py

# all that CI runs, in a fresh environment
ci:
    .ci/run
