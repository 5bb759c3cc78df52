import GitProtocol
import Glibc
import Posix

/// The refs of a repository that are files of their own. gitrepository-layout(5).
enum LooseRefs {
    /// Symbolic refs that git does not list because their targets do not exist.
    ///
    /// git skips directories that it cannot read, and does not list their refs. Here that is an
    /// error.
    static func strays(
        in gitDirectory: String, besides listed: Set<RefName>
    ) throws -> [String] {
        let names = Set(listed.map(\.bytes))
        var strays: [String] = []
        try walk("refs", in: gitDirectory) { name in
            if names.contains(Array(name.utf8)) { return }
            if try isSymbolic("\(gitDirectory)/\(name)") { strays.append(name) }
        }
        return strays.sorted()
    }

    /// Whether any exists; leftover directories and locks do not count.
    static func exist(in gitDirectory: String) throws -> Bool {
        var found = false
        try walk("refs", in: gitDirectory) { _ in found = true }
        return found
    }

    private static func walk(
        _ directory: String, in gitDirectory: String,
        _ body: (String) throws -> Void
    ) throws {
        var directories = [directory]
        while let directory = directories.popLast() {
            let names: [String]
            do throws(SystemError) {
                names = try Files.names(in: "\(gitDirectory)/\(directory)")
            } catch {
                // git removes a directory with its last ref.
                if error.code == ENOENT { continue }
                throw error
            }
            for name in names where !name.hasSuffix(".lock") {
                let path = "\(directory)/\(name)"
                var status = stat()
                if lstat("\(gitDirectory)/\(path)", &status) != 0 {
                    if errno == ENOENT { continue }
                    throw SystemError("lstat", "\(gitDirectory)/\(path)")
                }
                let isLink = status.st_mode & S_IFMT == S_IFLNK
                if isLink, stat("\(gitDirectory)/\(path)", &status) != 0 { status.st_mode = 0 }
                if status.st_mode & S_IFMT == S_IFDIR {
                    directories.append(path)
                } else {
                    try body(path)
                }
            }
        }
    }

    /// Whether a file is a symbolic ref, either a symbolic link or a file that begins with `ref:`.
    private static func isSymbolic(_ path: String) throws -> Bool {
        var status = stat()
        if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK { return true }
        do {
            return try Files.read(path, limit: 1 << 16).starts(with: "ref:".utf8)
        } catch {
            if error.code == ENOENT { return false }
            throw error
        }
    }
}
