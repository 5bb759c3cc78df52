import Glibc
import Posix

/// A store in a directory of a local file system. An object is the plain file `<root>/<key>`, so
/// copying the directory into a bucket moves the store there.
///
/// Any number of processes and threads can use it at the same time. `.tmp` and `.locks` in it
/// belong to this store and contain no objects. flock(2) and rename(2) must work as on a local
/// disk.
package struct FileStore: ObjectStore {
    /// `file:///path`.
    package let location: String
    package let retryPolicy: RetryPolicy

    /// The directory's path, absolute, without a slash at its end.
    let root: String
    let directories: DurableDirectories

    /// Opens the store at `file:///path`, and creates its directory if the one above it exists.
    package init(location: String) throws(StoreError) {
        let url = try FileLocation(location)
        self.location = url.text
        root = url.path
        // No error here is temporary.
        retryPolicy = RetryPolicy(attempts: 3, base: .milliseconds(1))
        directories = DurableDirectories(under: root)
        try prepare()
    }

    package func perform(_ requests: [StoreRequest]) -> [Result<StoreAnswer, StoreError>] {
        requests.map { request in
            StoreMeter.countRequest()
            return Result { () throws(StoreError) in
                switch request {
                case .get(let key, let destination): try get(key, into: destination)
                case .head(let key): try head(key)
                case .put(let body, let key, let condition): try put(body, at: key, condition)
                case .delete(let key): try delete(key)
                }
            }
        }
    }

    /// True: each body is hashed while it is copied, and is published only if it has its digest.
    package var dialect: Dialect { .hashesItself }

    var temporaries: String { root + "/.tmp" }
    var locks: String { root + "/.locks" }

    func path(of key: ObjectKey) -> String { root + "/" + key.path }

    /// Distinguishes a missing object from a missing store: an unmounted disk must not look like an
    /// empty store.
    func checkRoot() throws(SystemError) {
        var status = stat()
        if stat(locks, &status) != 0 { throw SystemError("stat", locks) }
    }

    private func prepare() throws(StoreError) {
        do {
            try make(root)
            try make(temporaries)
            try make(locks)
            try StagedFile.sweep(temporaries)
        } catch {
            throw .misconfigured(
                "Could not use the store '\(location)': \(error). \(Self.remedy(for: error.code))")
        }
    }

    private func make(_ directory: String) throws(SystemError) {
        if mkdir(directory, 0o700) != 0 {
            if errno == EEXIST { return }
            throw SystemError("mkdir", directory)
        }
        if let parent = Files.parent(of: directory) { try Files.syncDirectory(parent) }
    }

    private static func remedy(for code: Int32) -> String {
        switch code {
        case ENOENT: "Create its parent directory first, or mount its disk."
        case ENOTDIR, EEXIST: "Specify a directory."
        case EACCES, EPERM: "Make it readable and writable for the user that this runs as."
        case EROFS: "Specify a writable directory."
        case ENOSPC, EDQUOT: "Free space on its disk."
        default: "Check the directory and its disk."
        }
    }
}
