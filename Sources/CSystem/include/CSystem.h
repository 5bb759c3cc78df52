/* Linux calls that Swift's Glibc module leaves out because they need _GNU_SOURCE, as real
   functions. Each returns what the call returns, or -1 with errno set. */
#ifndef GS3_CSYSTEM_H
#define GS3_CSYSTEM_H

/* No system header is included: its types would become this module's in Swift. pid_t is int. */

/* accept4(2) with SOCK_CLOEXEC. */
int gs3_accept(int listener);

/* pipe2(2) with O_CLOEXEC. */
int gs3_pipe(int descriptors[2]);

/* socketpair(2), AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC. */
int gs3_socketpair(int descriptors[2]);

/* posix_spawn(3) of `path`: in `directory`, as leader of its own process group, with every signal
   unblocked and at its default, and with no descriptors but standard input, output, error, and
   `channel` (-1: none) as descriptor 3. Returns 0 or an errno value. */
int gs3_spawn(int *child, const char *path, char *const arguments[], char *const environment[],
              const char *directory, int input, int output, int error, int channel);

/* Waits for a child to end, ends what is left of its process group, and reaps it. waitid(2).
   0..255: the exit status; 256 + n: ended by signal n; -1: errno. */
int gs3_wait(int child);

/* Whether a child has ended; it stays to be waited for. waitid(2) with WNOHANG. */
int gs3_has_ended(int child);

/* pidfd_open(2), whose descriptor is closed on exec. glibc of Debian 12 has no wrapper for it. */
int gs3_pidfd(int child);

/* flock(2) LOCK_EX; with `wait` 0, LOCK_NB. */
int gs3_lock(int descriptor, int wait);

/* syncs a file's data and metadata: fsync(2), restarted on EINTR. */
int gs3_sync(int descriptor);

/* malloc_trim(3): gives free memory back to the system. */
void gs3_trim_memory(void);

/* poll(2) event bits: POLLRDHUP | POLLHUP | POLLERR. */
short gs3_poll_hangup(void);

#endif
