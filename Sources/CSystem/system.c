#define _GNU_SOURCE
#include "CSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int gs3_accept(int listener) { return accept4(listener, NULL, NULL, SOCK_CLOEXEC); }

int gs3_pipe(int descriptors[2]) { return pipe2(descriptors, O_CLOEXEC); }

int gs3_socketpair(int descriptors[2]) {
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, descriptors);
}

int gs3_spawn(int *child, const char *path, char *const arguments[], char *const environment[],
              const char *directory, int input, int output, int error, int channel) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int result = posix_spawn_file_actions_init(&actions);
    if (result != 0) return result;
    result = posix_spawnattr_init(&attributes);
    if (result != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return result;
    }
    sigemptyset(&none);
    sigfillset(&all);

#define TRY(call) \
    if ((result = (call)) != 0) goto done
    TRY(posix_spawn_file_actions_adddup2(&actions, input, 0));
    TRY(posix_spawn_file_actions_adddup2(&actions, output, 1));
    TRY(posix_spawn_file_actions_adddup2(&actions, error, 2));
    if (channel >= 0) TRY(posix_spawn_file_actions_adddup2(&actions, channel, 3));
    TRY(posix_spawn_file_actions_addclosefrom_np(&actions, channel >= 0 ? 4 : 3));
    if (directory != NULL) TRY(posix_spawn_file_actions_addchdir_np(&actions, directory));
    TRY(posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF));
    TRY(posix_spawnattr_setpgroup(&attributes, 0));
    TRY(posix_spawnattr_setsigmask(&attributes, &none));
    TRY(posix_spawnattr_setsigdefault(&attributes, &all));
    TRY(posix_spawn(child, path, &actions, &attributes, arguments, environment));
#undef TRY
done:
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

int gs3_wait(int child) {
    int status;
    siginfo_t info;
    /* Left unreaped first: as long as it is, its number still names its group alone. */
    while (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) < 0) {
        if (errno != EINTR) return -1;
    }
    kill(-child, SIGKILL);
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

int gs3_has_ended(int child) {
    siginfo_t info;
    info.si_pid = 0;
    while (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT | WNOHANG) < 0) {
        if (errno != EINTR) return -1;
    }
    return info.si_pid == child;
}

int gs3_pidfd(int child) { return (int)syscall(SYS_pidfd_open, child, 0); }

int gs3_lock(int descriptor, int wait) {
    int result;
    while ((result = flock(descriptor, wait ? LOCK_EX : LOCK_EX | LOCK_NB)) < 0) {
        if (errno != EINTR) return -1;
    }
    return result;
}

int gs3_sync(int descriptor) {
    int result;
    while ((result = fsync(descriptor)) < 0) {
        if (errno != EINTR) return -1;
    }
    return result;
}

short gs3_poll_hangup(void) { return POLLRDHUP | POLLHUP | POLLERR; }

void gs3_trim_memory(void) { malloc_trim(0); }
