import Glibc
import Posix

/// The lock of a file that may be removed by its holder, taken by threads and processes alike; given
/// up when its owner goes, or dies. flock(2).
struct FileLock: ~Copyable, Sendable {
    let file: OwnedDescriptor

    /// Takes the lock if it is free; nil: somebody has it.
    static func attempt(_ path: String) throws(SystemError) -> FileLock? {
        while true {
            let file = try OwnedDescriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW)
            guard try Files.lock(file.raw, waiting: .never, path) else { return nil }
            // Its last holder may have taken the name away between open and lock: others would
            // lock another file.
            if Files.isNamed(file.raw, path) { return FileLock(file: file) }
        }
    }

    /// Takes the lock as soon as it is free; nil: `isHopeless` said so first.
    ///
    /// It is asked for again and again, since flock(2) cannot be told how long to wait, and a
    /// process that was stopped would hold up all others.
    static func wait(
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
