import Glibc
import Posix

extension BackendHost {
    /// Remains of requests in the state directory: workspaces, and processes in them.
    package func leftovers() throws -> [String] {
        guard let state = setup.state else { throw TestFailure("a site without a state directory") }
        let workspaces = state.path + "/workspaces"
        let processes = try Files.names(in: "/proc").filter { name in
            name.allSatisfy(\.isNumber)
                && Self.directory(ofProcess: name).hasPrefix(workspaces + "/")
        }
        return try ServerProcess.workspaces(in: state.path) + processes.map { "process \($0)" }
    }

    /// proc(5), `cwd`; empty for a process that has gone or is another's.
    private static func directory(ofProcess identifier: String) -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink("/proc/\(identifier)/cwd", &buffer, buffer.count)
        let path = buffer.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
        return String(decoding: path, as: UTF8.self)
    }
}
