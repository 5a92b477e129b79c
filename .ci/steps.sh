# Steps of .ci/run: one after the other, and at most one beside them. The first that fails ends the whole.
started=$(date +%s)
beside_pid= beside_words= beside_log=$(mktemp)
trap 'end' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

step() { # COMMAND...: run it and show what it says
  echo
  echo "== $* (after $(($(date +%s) - started)) s)"
  "$@"
}

beside() { # COMMAND...: start it in a process group of its own; `joined` waits for it
  echo
  echo "== $* begins beside the next steps (after $(($(date +%s) - started)) s)"
  beside_words=$*
  setsid "$@" >"$beside_log" 2>&1 &
  beside_pid=$!
}

joined() { # wait for what runs beside, show what it said, and fail as it failed
  status=0
  wait "$beside_pid" || status=$?
  beside_pid=
  echo
  echo "== $beside_words ended with $status (after $(($(date +%s) - started)) s)"
  cat "$beside_log"
  return "$status"
}

end() { # leave nothing running
  # in its first moments it has no group of its own yet
  [ -z "$beside_pid" ] || kill -- "-$beside_pid" 2>/dev/null || kill "$beside_pid" 2>/dev/null || :
  rm -f "$beside_log"
}
