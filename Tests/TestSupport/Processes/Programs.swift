import Glibc

/// The paths of the programs that the tests run.
package enum Programs {
    /// The directory of this test process, which is where SwiftPM builds the executables too.
    package static func buildDirectory() throws -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/self/exe", &buffer, buffer.count)
        guard count > 0 else { throw TestFailure("readlink /proc/self/exe: errno \(errno)") }
        let path = buffer[..<count].map { UInt8(bitPattern: $0) }
        guard let slash = path.lastIndex(of: UInt8(ascii: "/")) else {
            throw TestFailure("/proc/self/exe has no directory")
        }
        return String(decoding: path[..<slash], as: UTF8.self)
    }

    /// The program under test. The hook is beside it.
    package static func server() throws -> String {
        try buildDirectory() + "/git-s3-backend"
    }

    /// Finds a program in PATH, where Debian keeps servers, and where `Tests/run` installs those of
    /// Python. A missing one fails the test.
    ///
    /// - Parameter remedy: what to install.
    package static func find(_ name: String, remedy: String) throws -> String {
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        // A shim of pyenv is a script that needs the environment of its user.
        let directories =
            path.split(separator: ":").map(String.init).filter { !$0.hasSuffix("/shims") }
            + ["/usr/sbin", "/sbin", try buildDirectory() + "/../../python/bin"]
        for directory in directories where access("\(directory)/\(name)", X_OK) == 0 {
            return "\(directory)/\(name)"
        }
        throw TestFailure("'\(name)' is not installed. \(remedy)")
    }

    package static func git() throws -> String {
        try find("git", remedy: "apt install git")
    }
}
