import Glibc
import Posix
import Synchronization

/// Directories that are known to survive a power cut, so that what is put in them does.
final class DurableDirectories: Sendable {
    private let root: String
    private let known = Mutex<Set<String>>([])

    /// Entries; a store with more directories than this merely syncs some again.
    private static let capacity = 4096

    init(under root: String) {
        self.root = root
    }

    /// Makes a directory under the root, and those between, each synced into the one above.
    ///
    /// One that is there already is synced too, once: who made it may have died before doing so.
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

    /// Forgets what is known: a directory turned out to be gone.
    func forget() {
        known.withLock { $0.removeAll() }
    }
}
