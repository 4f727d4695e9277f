#!/usr/bin/env bash
# Every mutation of every program of test/mutation/run.sh, instead of the tests' sample: mutation.sh BUILD [FILTER]. Takes minutes a program.
exec "$(dirname "$0")/../mutation/run.sh" "$1" all "${2:-}"
