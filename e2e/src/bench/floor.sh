# The floor: one container moved by hand on one node, as fast as runc and CRIU do it. No Kubernetes, no network between, images in memory.
# In: SOURCE, TARGET (containers), BUNDLE (of the target), IMAGES, WORK, ROUTE (arguments of `ip route`), RUNC_ROOT.
# Out: the times, in seconds since 1970, before the pause and after pause, checkpoint and restore.
set -e
began=$EPOCHREALTIME
runc --root "$RUNC_ROOT" pause "$SOURCE" </dev/null
paused=$EPOCHREALTIME
# The client has one request under way, and that is in the frozen socket by now: so nothing is sent until the answer comes.
ip route replace $ROUTE &
runc --root "$RUNC_ROOT" --log "$WORK/checkpoint.err" checkpoint --leave-running --tcp-established --file-locks \
    --image-path "$IMAGES" --work-path "$WORK" "$SOURCE" </dev/null
dumped=$EPOCHREALTIME
runc --root "$RUNC_ROOT" --log "$WORK/restore.err" restore --detach --tcp-established --file-locks --no-subreaper \
    --bundle "$BUNDLE" --image-path "$IMAGES" --work-path "$WORK" "$TARGET" </dev/null >/dev/null 2>&1
restored=$EPOCHREALTIME
wait
echo "$began $paused $dumped $restored"
