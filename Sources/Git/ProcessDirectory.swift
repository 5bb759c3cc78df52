import Bytes
import Glibc
import Posix

/// The directory of a process below `workspaces/`. It belongs to the process as long as the process
/// holds the lock on the directory itself, whatever happens to the files in it. A directory whose
/// lock is free was left behind by a process that died. systemd-tmpfiles(8) skips a locked
/// directory as well.
///
/// Its users hold references, and the last one removes it. flock(2).
final class ProcessDirectory: Sendable {
    let path: String
    private let directory: OwnedDescriptor
    /// The lock on a file in the directory. An earlier version of the program checks only this
    /// lock, and may use the same state directory during an upgrade.
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

    /// Whether the path still leads to the locked directory.
    var isInPlace: Bool { Files.isNamed(directory.raw, path) }

    /// The prefix for directories that are locked themselves. The earlier version's names lack the
    /// `2`, and it sweeps all names that do not begin with `live-`.
    private static let prefix = "live-2-"

    private static let lockName = "/lock"

    /// The number of attempts to create a directory while another process keeps clearing the state
    /// directory.
    private static let attempts = 20

    /// Creates a directory for this process, with all missing parents.
    static func claim(in workspaces: String) throws(SystemError) -> ProcessDirectory {
        for _ in 1..<attempts {
            do throws(SystemError) {
                if let claimed = try attempt(in: workspaces) { return claimed }
            } catch {
                // The state directory was cleared between two steps.
                if error.code != ENOENT { throw error }
            }
        }
        guard let claimed = try attempt(in: workspaces) else {
            throw SystemError("flock", workspaces, code: EWOULDBLOCK)
        }
        return claimed
    }

    /// Creates a directory under a temporary name, locks it, and renames it.
    ///
    /// - Returns: nil if another process swept it before it was locked.
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

    /// Tries to lock a directory. NFS cannot lock a file that is not open for writing, so there
    /// only the lock on the file counts.
    private static func lock(_ directory: borrowing OwnedDescriptor, _ path: String) -> Lock {
        do {
            return try Files.lock(directory.raw, waiting: .never, path) ? .taken : .held
        } catch {
            return .unsupported
        }
    }

    // MARK: Sweeping

    /// The age in seconds from which on a directory that was never locked is swept. A slower
    /// process notices that, and creates another one.
    private static let startTime = 600

    /// The age in seconds from which on an unlocked directory of the earlier version is swept: its
    /// process may still run, and have lost the file.
    private static let lockLossTime = 7 * 86_400

    /// Removes the directories of dead processes.
    static func sweep(_ workspaces: String) {
        // Nothing to sweep.
        guard let names = try? Files.names(in: workspaces) else { return }
        for name in names {
            let path = "\(workspaces)/\(name)"
            // It is not a directory, or no longer exists.
            guard
                let directory = try? OwnedDescriptor.open(
                    path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
            else { continue }
            // The lock is held until the directory is gone, so that nobody can start to use it.
            defer { _ = directory }
            let hasStarted = name.hasPrefix("live-")
            // It is too new to be swept: its process is about to lock it.
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

    /// The state of the lock on the file. A file that cannot be opened counts as locked.
    private static func fileLock(in path: String) -> FileLockState {
        do {
            let file = try OwnedDescriptor.open(path + lockName, O_RDWR | O_NOFOLLOW)
            return try Files.lock(file.raw, waiting: .never, path) ? .free : .held
        } catch {
            return error.code == ENOENT ? .missing : .unknown
        }
    }

    /// The seconds since an entry was created or removed in a directory, by the current clock.
    private static func age(of directory: borrowing OwnedDescriptor) -> Int {
        var status = stat()
        return fstat(directory.raw, &status) == 0 ? time(nil) - status.st_mtim.tv_sec : 0
    }
}
