import Glibc
import Posix

extension FileStore {
    /// Objects in one answer, as S3 has it.
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

    /// Adds what lies under the directory `parent`, the empty string or with a slash at its end.
    private func walk(_ parent: String, into page: inout Page) throws(SystemError) {
        let names: [String]
        do {
            names = try Files.names(in: root + "/" + parent)
        } catch {
            // Gone since it was seen.
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
        /// With a slash at its end: so it sorts as the keys in it do.
        case directory(String)
        case object(ListedObject)

        var key: String {
            switch self {
            case .directory(let path): path
            case .object(let object): object.key
            }
        }
    }

    /// What in a directory is a key, or leads to some, in the order of the keys' bytes.
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

    /// Whether a name is of the bytes that keys have; others were put there by someone else.
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

    /// The part of a listing that was asked for.
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
