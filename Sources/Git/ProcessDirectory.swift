import Bytes
import Glibc
import Posix

/// The directory of a process below `workspaces/`. It belongs to the process as long as the process
/// holds the lock of the directory itself, whatever happens to the files in it. A directory whose
/// lock is free was left by a process that died. systemd-tmpfiles(8) skips a locked directory as
/// well.
///
/// Its users hold references, and the last one removes it. flock(2).
final class ProcessDirectory: Sendable {
    let path: String
    private let directory: OwnedDescriptor
    /// The lock of a file in it. An earlier version of the program checks only that, and may run on
    /// the same state directory during an upgrade.
    private let file: OwnedDescriptor

    private init(
        _ path: String, _ directory: consuming OwnedDescriptor, _ file: consuming OwnedDescriptor
    ) {
        self.path = path
        self.directory = directory
        self.file = file
    }

    deinit {
        if isInPlace { Files.removeTree(path) }
    }

    /// Whether the path still leads to the directory that is locked.
    var isInPlace: Bool { Files.isNamed(directory.raw, path) }

    /// What the name of a directory begins with that is locked by itself. The earlier version has no
    /// `2`, and sweeps all that does not begin with `live-`.
    private static let prefix = "live-2-"

    private static let lockName = "/lock"

    /// Attempts to make a directory, where somebody clears the state directory all the time.
    private static let attempts = 20

    /// Makes a directory for this process, with all that is missing above it.
    static func claim(in workspaces: String) throws(SystemError) -> ProcessDirectory {
        for _ in 1..<attempts {
            do throws(SystemError) {
                if let claimed = try attempt(in: workspaces) { return claimed }
            } catch {
                // Cleared between two steps.
                if error.code != ENOENT { throw error }
            }
        }
        guard let claimed = try attempt(in: workspaces) else {
            throw SystemError("flock", workspaces, code: EWOULDBLOCK)
        }
        return claimed
    }

    /// Makes a directory under a name of its own, locks it, and gives it its real name.
    ///
    /// - Returns: nil if a sweep came first.
    private static func attempt(
        in workspaces: String
    ) throws(SystemError) -> ProcessDirectory? {
        try Files.makeDirectories(workspaces)
        let name = Hex.random()
        let starting = "\(workspaces)/new-\(name)"
        try check("mkdir", starting) { mkdir(starting, 0o700) }
        do throws(SystemError) {
            let directory = try OwnedDescriptor.open(starting, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            if lock(directory, starting) == .held { return nil }
            let file = try OwnedDescriptor.open(starting + lockName, O_CREAT | O_RDWR)
            _ = try Files.lock(file.raw, waiting: .never, starting)
            let path = "\(workspaces)/\(prefix)\(name)"
            try check("rename", starting) { rename(starting, path) }
            let claimed = ProcessDirectory(path, directory, file)
            return claimed.isInPlace ? claimed : nil
        } catch {
            Files.removeTree(starting)
            throw error
        }
    }

    private enum Lock { case taken, held, unsupported }

    /// Tries to lock a directory. NFS has no locks for what cannot be opened for writing: there
    /// the lock of the file decides alone.
    private static func lock(_ directory: borrowing OwnedDescriptor, _ path: String) -> Lock {
        do {
            return try Files.lock(directory.raw, waiting: .never, path) ? .taken : .held
        } catch {
            return .unsupported
        }
    }

    // MARK: Sweeping

    /// Seconds after which a directory that never got its lock is left over. A process that is
    /// slower finds that out, and makes another one.
    private static let startTime = 600

    /// Seconds after which a directory of the earlier version is left over that has no lock: its
    /// process may live, and have lost the file.
    private static let lockLossTime = 7 * 86_400

    /// Removes what dead processes left.
    static func sweep(_ workspaces: String) {
        // Not there: nothing to sweep.
        guard let names = try? Files.names(in: workspaces) else { return }
        for name in names {
            let path = "\(workspaces)/\(name)"
            // Not a directory, or gone.
            guard
                let directory = try? OwnedDescriptor.open(
                    path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            else { continue }
            // Held until the directory is gone: nobody can begin to use it.
            defer { _ = directory }
            let hasStarted = name.hasPrefix("live-")
            // Not even locked for a moment: its process is about to lock it.
            if !hasStarted, age(of: directory) <= startTime { continue }
            let lock = lock(directory, path)
            if lock == .held { continue }
            let isAbandoned =
                switch fileLock(in: path) {
                case .held, .unknown: false
                case .free: true
                case .missing:
                    if name.hasPrefix(prefix) {
                        lock == .taken
                    } else {
                        !hasStarted || age(of: directory) > lockLossTime
                    }
                }
            if isAbandoned, Files.isNamed(directory.raw, path) { Files.removeTree(path) }
        }
    }

    private enum FileLockState { case held, free, missing, unknown }

    /// What the lock of the file says. What cannot be opened is somebody's.
    private static func fileLock(in path: String) -> FileLockState {
        do {
            let file = try OwnedDescriptor.open(path + lockName, O_RDWR | O_NOFOLLOW)
            return try Files.lock(file.raw, waiting: .never, path) ? .free : .held
        } catch {
            return error.code == ENOENT ? .missing : .unknown
        }
    }

    /// Seconds since something was made or removed in a directory, by the clock as it is now.
    private static func age(of directory: borrowing OwnedDescriptor) -> Int {
        var status = stat()
        return fstat(directory.raw, &status) == 0 ? time(nil) - status.st_mtim.tv_sec : 0
    }
}
