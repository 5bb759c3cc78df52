import Glibc

/// The lock of a file that its holder is allowed to remove. It excludes threads as well as processes,
/// and is released when this value is destroyed, or the process dies. flock(2).
package struct FileLock: ~Copyable, Sendable {
    package let file: OwnedDescriptor

    /// Takes the lock if it is free; nil if another holds it.
    package static func attempt(_ path: String) throws(SystemError) -> FileLock? {
        while true {
            let file = try OwnedDescriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW)
            guard try Files.lock(file.raw, waiting: .never, path) else { return nil }
            // The last holder may have removed the name between open and lock. Others would then
            // lock another file.
            if Files.isNamed(file.raw, path) { return FileLock(file: file) }
        }
    }

    /// Waits until the lock is free, however long that takes.
    package static func wait(for path: String) throws(SystemError) -> FileLock {
        while true {
            let file = try OwnedDescriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW)
            _ = try Files.lock(file.raw, waiting: .untilFree, path)
            if Files.isNamed(file.raw, path) { return FileLock(file: file) }
        }
    }

    /// Releases the lock.
    package consuming func release() {}

    /// Takes the lock as soon as it is free; nil if `isHopeless` returned true first.
    ///
    /// The lock is polled, since flock(2) has no time-out, and a process that was stopped would hold
    /// up all others.
    package static func wait(
        for path: String, until isHopeless: () -> Bool
    ) throws(SystemError) -> FileLock? {
        var pause: UInt32 = 500
        while true {
            if let lock = try attempt(path) { return lock }
            if isHopeless() { return nil }
            usleep(pause)
            pause = min(pause * 2, longestPause)
        }
    }

    /// Microseconds.
    private static let longestPause: UInt32 = 20_000

    private init(file: consuming OwnedDescriptor) {
        self.file = file
    }
}
