import Bytes
import Posix

/// A directory of a test's own; removed when its owner goes.
package final class ScratchDirectory: Sendable {
    package let path: String

    package init(in directory: String = "/tmp") throws {
        path = directory + "/git-s3-backend-test-" + Hex.random(bytes: 8)
        try Files.makeDirectories(path)
    }

    deinit {
        Files.removeTree(path)
    }
}
