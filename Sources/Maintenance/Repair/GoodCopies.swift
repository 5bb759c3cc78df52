import Bytes
import Cache
import Git
import Glibc
import ObjectStore
import Posix
import Repository

/// The places on this machine where good copies of stored objects may be found: the cache of a
/// state directory, and directories that an operator gives.
///
/// A file is recognized by the SHA-256 of its bytes, whatever its name. Each file is hashed at most
/// once, and only when no other file turned out to be the object in question.
package final class GoodCopies {
    /// The kind of object to search for. Files of another kind need not be hashed.
    enum Kind: CaseIterable {
        case pack, manifest

        /// The first bytes of each such file.
        fileprivate var signature: [UInt8] {
            switch self {
            case .pack: Array("PACK".utf8)
            case .manifest: Array("{".utf8)
            }
        }
    }

    private let state: String
    private var directories: [String]
    private let warn: (String) -> Void
    /// The files below the directories that are not hashed yet.
    private var unread: [Kind: [String]] = [:]
    private var known: [Digest: String] = [:]
    /// The files that were hashed, whatever their names.
    private var read: Set<FileIdentity> = []

    private struct FileIdentity: Hashable {
        let device: dev_t
        let inode: ino_t
    }

    /// - Parameters:
    ///   - state: the path of the state directory whose cache is searched first.
    ///   - directories: the directories to search, with everything below them.
    ///   - warn: called with a sentence for each directory or file that cannot be read.
    package init(
        inCacheOf state: String, and directories: [String] = [],
        warn: @escaping (String) -> Void = { _ in }
    ) {
        self.state = state
        self.directories = directories
        self.warn = warn
    }

    /// Finds a copy of the object with this digest; nil if no file has these bytes.
    func copy(of digest: Digest, _ kind: Kind, progress: Progress = .none) -> String? {
        let cached = Self.cached(digest, kind, in: state)
        if Self.digest(of: cached) == digest { return cached }
        // It may have been removed since it was read.
        if let path = known[digest], access(path, R_OK) == 0 { return path }

        list()
        // The file with the digest's name is the most likely one.
        let files = unread[kind, default: []]
        let (named, others) = (
            files.filter { $0.contains(digest.hex) }, files.filter { !$0.contains(digest.hex) }
        )
        var rest = (named + others)[...]
        defer { unread[kind] = Array(rest) }
        while let path = rest.popFirst() {
            progress.count("reading '\(path)'")
            var status = stat()
            guard stat(path, &status) == 0 else { continue }
            let identity = FileIdentity(device: status.st_dev, inode: status.st_ino)
            if read.contains(identity) { continue }
            guard let found = Self.digest(of: path) else {
                warn("'\(path)' ignored: it cannot be read.")
                continue
            }
            read.insert(identity)
            known[found] = path
            if found == digest { return path }
        }
        return nil
    }

    /// Whether the cache of a state directory has a good copy. If so, it is marked as the one used
    /// last, so that it stays longer than others.
    static func isCached(_ digest: Digest, _ kind: Kind, in state: String) -> Bool {
        let path = cached(digest, kind, in: state)
        guard Self.digest(of: path) == digest else { return false }
        // The time of use of a pack is the modification time of its index. That of another user's
        // file cannot be changed, so only its place in the order is lost.
        let dated = kind == .pack ? path.dropLast(5) + PackCache.Suffix.index : path[...]
        utimensat(AT_FDCWD, String(dated), nil, AT_SYMLINK_NOFOLLOW)
        return true
    }

    /// The cache's layout is that of ``PackCache`` and ``ManifestCache``.
    private static func cached(_ digest: Digest, _ kind: Kind, in state: String) -> String {
        switch kind {
        case .pack: "\(state)/packs/\(digest.hex)\(PackCache.Suffix.pack)"
        case .manifest: "\(state)/manifests/\(digest.hex)"
        }
    }

    /// nil if it cannot be read, or is not a regular file.
    private static func digest(of path: String) -> Digest? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        // A file that was removed in the meantime, or that we may not read, is not a copy.
        return try? FileDigest(of: path).digest
    }
}

// MARK: Listing

extension GoodCopies {
    /// Lists the files below the directories, once.
    private func list() {
        while let directory = directories.popLast() {
            let names: [String]
            do {
                names = try Files.names(in: directory)
            } catch {
                // Running requests remove their workspaces while the directories are listed.
                if error.code != ENOENT { warn("'\(directory)' ignored: \(error).") }
                continue
            }
            for name in names { sort("\(directory)/\(name)") }
        }
    }

    private func sort(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        if status.st_mode & S_IFMT == S_IFDIR { return directories.append(path) }
        // A linked file is usable by its own path, but a linked directory could lead in circles.
        if status.st_mode & S_IFMT == S_IFLNK {
            guard let target = realpath(path, nil) else { return }
            defer { free(target) }

            guard stat(target, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return }
            return sort(String(cString: target))
        }
        guard status.st_mode & S_IFMT == S_IFREG else { return }
        do {
            let file = try OwnedDescriptor.open(path, O_RDONLY | O_NONBLOCK)
            let start = try Files.read(file.raw, at: 0, count: 4, subject: path)
            for kind in Kind.allCases where start.starts(with: kind.signature) {
                if kind == .manifest, status.st_size > off_t(Manifest.maximumSize) { continue }
                unread[kind, default: []].append(path)
            }
        } catch {
            if error.code != ENOENT { warn("'\(path)' ignored: \(error).") }
        }
    }
}
