import Bytes
import Glibc
import Posix
import Synchronization

/// A directory that is removed, with its contents, when its owner goes, and when the test process
/// ends, also by a crash.
package final class TemporaryDirectory: Sendable {
    package let path: String

    package init() throws {
        path = try Janitor.shared.get().directory + "/" + Hex.random(bytes: 4)
        try Files.makeDirectories(path)
    }

    /// A directory in another one, such as one of another file system.
    package init(in parent: String) throws {
        path = "\(parent)/gs3-\(Hex.random(bytes: 8))"
        try Janitor.shared.get().remove(path)
        try Files.makeDirectories(path)
    }

    deinit {
        Files.removeTree(path)
    }

    /// Makes a directory inside, if it is not there, and names it.
    package func directory(_ name: String) throws -> String {
        try Files.makeDirectories("\(path)/\(name)")
        return "\(path)/\(name)"
    }

    /// Writes a file inside and names it.
    @discardableResult
    package func file(_ name: String, _ text: String) throws -> String {
        try file(name, Array(text.utf8))
    }

    /// Writes a file inside and names it.
    @discardableResult
    package func file(_ name: String, _ bytes: [UInt8]) throws -> String {
        try Files.write(bytes, to: "\(path)/\(name)")
        return "\(path)/\(name)"
    }
}
