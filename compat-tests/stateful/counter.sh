# Appends numbers to data/count, from where the last task has stopped. Whoever finds another writer at work leaves a mark.
exec 9>data/lock
if ! flock -n 9; then
    echo "$MESOS_TASK_ID" >>data/second
    exit 1
fi
n=$(tail -n 1 data/count 2>/dev/null | cut -d' ' -f1)
n=${n:-0}
while :; do
    n=$((n + 1))
    echo "$n $MESOS_TASK_ID $WORD" >>data/count
    sleep 0.05
done
