import Posix

/// A directory of one test.
final class ScratchDirectory: Sendable {
    let path: String

    init() throws {
        path = "/tmp/gs3-s3store-\(randomHex(bytes: 6))"
        try Files.makeDirectories(path)
    }

    deinit { Files.removeTree(path) }

    func write(_ name: String, _ text: String) throws {
        try Files.write(Array(text.utf8), to: "\(path)/\(name)")
    }
}
