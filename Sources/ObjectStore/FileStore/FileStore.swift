import Glibc
import Posix

/// A store in a directory of a local file system: an object is the plain file `<root>/<key>`, so
/// that copying the directory into a bucket moves the store there.
///
/// Any number of processes and threads may use one at once. `.tmp` and `.locks` in it are this
/// store's own and no objects. flock(2) and rename(2) must mean what they mean on a local disk.
package struct FileStore: ObjectStore {
    /// `file:///path`.
    package let location: String
    package let retryPolicy: RetryPolicy

    /// The directory's path, absolute, without a slash at its end.
    let root: String
    let directories: DurableDirectories

    /// Opens the store at `file:///path`; its directory is made if the one above it exists.
    package init(location: String) throws(StoreError) {
        let url = try FileLocation(location)
        self.location = url.text
        root = url.path
        // Nothing here fails in a passing way.
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

    /// Each body is hashed as it is copied, and gets its name only if it is what it should be.
    package var dialect: Dialect { .hashesItself }

    var temporaries: String { root + "/.tmp" }
    var locks: String { root + "/.locks" }

    func path(of key: ObjectKey) -> String { root + "/" + key.path }

    /// Tells an object that is not there from a store that is not: a disk that was unmounted must
    /// not read as an empty store.
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
