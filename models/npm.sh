# npm for the fetching scripts, sourced by them: fails at once without a network instead of waiting for minutes, and says why.

# npm_fetch WHAT ARGUMENTS...: runs npm with the arguments; its standard output is npm's. On failure says what could not be fetched,
# and why, and returns 1.
npm_fetch() {
  local what=$1 log reason
  shift
  if ! command -v npm >/dev/null 2>&1; then
    echo "could not fetch $what: npm is not installed (./setup.sh installs it)" >&2
    return 1
  fi
  log=$(mktemp)
  # A network that is not there is told from one that falters: only the second is worth npm's patient retries.
  if npm_config_fetch_retries=0 npm --loglevel=error "$@" 2>"$log" ||
    { ! grep -qE 'EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ENETUNREACH|E404' "$log" && npm --loglevel=error "$@" 2>"$log"; }; then
    rm -f "$log"
    return 0
  fi
  reason=$(grep -E 'failed, reason|npm (error|ERR!) [0-9]{3}' "$log" | head -n 1 | sed -E 's/^npm (error|ERR!) //')
  [ -n "$reason" ] || reason=$(head -n 1 "$log")
  rm -f "$log"
  echo "could not fetch $what: ${reason:-npm failed}" >&2
  echo "it comes from the npm registry; the network is needed once, then run this again" >&2
  return 1
}
