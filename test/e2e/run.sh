#!/usr/bin/env bash
# Runs the end-to-end tests: test/e2e/run.sh BUILD/bin. Exit 77 (skipped) when no model is at hand.
exec /usr/bin/python3 "$(dirname "$0")/run.py" "$1"
