import Bytes
import Glibc
import Posix

/// Cleans up after a test process that has ended, also by a crash: a shell that waits for the end
/// of a pipe, which is the test process's end, then kills the process groups and removes the
/// directories that it was given.
final class Janitor: Sendable {
    static let shared = Result { try Janitor() }

    let directory: String
    private let shell: ChildProcess
    private let pipe: OwnedDescriptor

    /// Servers may write until they have ended: hence more than one try.
    private static let script = """
        groups=' ' directories=$0
        while read -r verb word; do
            case $verb in
            watch) groups="$groups$word " ;;
            forget) groups="${groups%% "$word" *} ${groups#* "$word" }" ;;
            remove) directories="$directories $word" ;;
            esac
        done
        for group in $groups; do kill -KILL "-$group"; done
        for try in 1 2 3 4 5 6 7 8 9 10; do
            rm -rf -- $directories && break
            sleep 0.3
        done
        """

    private init() throws {
        let base = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        directory = "\(base)/gs3-\(Hex.random(bytes: 4))"
        try Files.makeDirectories(directory)
        let ends = try OwnedDescriptor.pipe()
        let null = try OwnedDescriptor.open("/dev/null", O_RDWR)
        shell = try ChildProcess(
            ChildProcess.Launch(
                path: "/bin/sh", arguments: ["-c", Self.script, directory], environment: [],
                directory: "/", input: ends.first.raw, output: null.raw, error: null.raw))
        pipe = ends.keepingSecond()
    }

    /// Has a process group killed when this process ends.
    func watch(group: pid_t) throws {
        try writeAll(pipe.raw, Array("watch \(group)\n".utf8))
    }

    /// Has a directory removed when this process ends.
    ///
    /// - Parameter directory: a path without white space.
    func remove(_ directory: String) throws {
        try writeAll(pipe.raw, Array("remove \(directory)\n".utf8))
    }

    /// Leaves a process group alone, which has ended.
    func forget(group: pid_t) throws {
        try writeAll(pipe.raw, Array("forget \(group)\n".utf8))
    }
}
