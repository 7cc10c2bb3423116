#!/bin/sh
# Runs a chain for as long as somebody holds the other end of stdin, so that it never outlives whoever started it,
# however that one ends. At the end of stdin the chain is asked to stop; ten seconds later the whole group is killed.
# Must be the leader of a process group of its own.
exec 3<&0
"$@" </dev/null 3<&- &
chain=$!
(
  read -r _ <&3
  exec 3<&-
  kill -TERM "$chain"
  sleep 10
  kill -KILL 0
) >/dev/null 2>&1 &
exec 3<&- </dev/null
wait "$chain"
status=$?
trap "" TERM
kill -TERM 0
exit "$status"
