import Glibc
import Posix
import Synchronization

/// The directories that are known to survive a power failure, so that files in them do.
final class DurableDirectories: Sendable {
    private let root: String
    private let known = Mutex<Set<String>>([])

    /// The largest number of entries. A store with more directories merely syncs some again.
    private static let capacity = 4096

    init(under root: String) {
        self.root = root
    }

    /// Creates a directory below the root, and those in between, each synced into the one above.
    ///
    /// An existing one is synced once, too, because its creator may have died before doing so.
    func make(_ path: String) throws(SystemError) {
        if path == root || known.withLock({ $0.contains(path) }) { return }
        guard let parent = Files.parent(of: path) else { return }
        try make(parent)
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw SystemError("mkdir", path) }
        try Files.syncDirectory(parent)
        known.withLock { known in
            if known.count >= Self.capacity { known.removeAll() }
            known.insert(path)
        }
    }

    /// Forgets all directories, because one of them turned out to be missing.
    func forget() {
        known.withLock { $0.removeAll() }
    }
}
