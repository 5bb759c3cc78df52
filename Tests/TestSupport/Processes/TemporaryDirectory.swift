import Bytes
import Glibc
import Posix
import Synchronization

/// A directory that is removed, with all that is in it, when its owner goes.
///
/// They all lie in one of the test process, which goes when the process goes, however it ends.
package final class TemporaryDirectory: Sendable {
    package let path: String

    package init() throws {
        path = try Janitor.shared.get().directory + "/" + Hex.random(bytes: 4)
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
