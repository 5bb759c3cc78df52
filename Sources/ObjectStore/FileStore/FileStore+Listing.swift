import Glibc
import Posix

extension FileStore {
    /// The number of objects in one answer, the same as in S3.
    private static let pageSize = 1000

    package func list(
        prefix: String, startingAfter: String?
    ) throws(StoreError) -> [ListedObject] {
        var page = Page(
            prefix: Array(prefix.utf8), after: startingAfter.map { Array($0.utf8) },
            limit: Self.pageSize)
        do {
            try walk("", into: &page)
            if page.objects.isEmpty { try checkRoot() }
        } catch {
            throw .local(.init(.list, prefix), error)
        }
        return page.objects
    }

    /// Adds the objects below the directory `parent`, which is empty or ends with a slash.
    private func walk(_ parent: String, into page: inout Page) throws(SystemError) {
        let names: [String]
        do {
            names = try Files.names(in: root + "/" + parent)
        } catch {
            // It was removed since it was listed.
            if error.code == ENOENT || error.code == ENOTDIR, !parent.isEmpty { return }
            throw error
        }
        for entry in try entries(parent, names) {
            if page.isFull { return }
            switch entry {
            case .directory(let path): if page.mayHold(path) { try walk(path, into: &page) }
            case .object(let object): page.add(object)
            }
        }
    }

    private enum Entry {
        /// A directory, with a slash at its end, so that it sorts like the keys in it.
        case directory(String)
        case object(ListedObject)

        var key: String {
            switch self {
            case .directory(let path): path
            case .object(let object): object.key
            }
        }
    }

    /// Lists the keys in a directory and the directories that lead to some, in the order of the
    /// keys.
    private func entries(_ parent: String, _ names: [String]) throws(SystemError) -> [Entry] {
        var entries: [Entry] = []
        for name in names where Self.canBeInKey(name) {
            if parent.isEmpty, name.hasPrefix(".") { continue }
            let key = parent + name
            var status = stat()
            if stat(root + "/" + key, &status) != 0 {
                if errno == ENOENT { continue }
                throw SystemError("stat", root + "/" + key)
            }
            if status.st_mode & S_IFMT == S_IFDIR {
                entries.append(.directory(key + "/"))
            } else {
                entries.append(.object(ListedObject(key: key, size: Int64(status.st_size))))
            }
        }
        return entries.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    }

    /// Whether a name consists of the bytes that keys have. Others are not this store's files.
    private static func canBeInKey(_ name: String) -> Bool {
        name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "-"):
                true
            default: false
            }
        }
    }

    /// The requested part of a listing.
    private struct Page {
        let prefix: [UInt8]
        let after: [UInt8]?
        let limit: Int
        var objects: [ListedObject] = []

        var isFull: Bool { objects.count >= limit }

        /// Whether keys of the page can begin with `path`.
        func mayHold(_ path: String) -> Bool {
            let path = Array(path.utf8)
            guard path.starts(with: prefix) || prefix.starts(with: path) else { return false }
            guard let after else { return true }
            return after.starts(with: path) || after.lexicographicallyPrecedes(path)
        }

        mutating func add(_ object: ListedObject) {
            let key = Array(object.key.utf8)
            guard key.starts(with: prefix) else { return }
            if let after, !after.lexicographicallyPrecedes(key) { return }
            objects.append(object)
        }
    }
}
