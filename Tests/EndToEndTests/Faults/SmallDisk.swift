import Glibc
import Posix
import TestSupport
import Testing

/// A disk of a few megabytes as the state directory of a program, visible only to that program.
struct SmallDisk {
    private let directory: TemporaryDirectory
    /// Mounts the disk in a namespace of its own, and runs the program.
    let program: String
    var options: [String] { ["--state-dir", directory.path + "/disk"] }

    init(mebibytes: Int) throws {
        directory = try TemporaryDirectory()
        program = try directory.file(
            "program",
            """
            #!/bin/sh
            exec unshare -m sh -c \
                'mount -t tmpfs -o size=\(mebibytes)m,mode=0700 none "$0" && exec "$@"' \
                '\(directory.path)/disk' '\(try Programs.server())' "$@"
            """)
        chmod(program, 0o755)
        _ = try directory.directory("disk")
    }

    /// Whether this process can mount a file system that no other process sees.
    static var mayBeMounted: Bool {
        guard let unshare = try? Programs.find("unshare", remedy: "apt install util-linux"),
            let directory = try? TemporaryDirectory()
        else { return false }
        let mount = ["-m", "/bin/mount", "-t", "tmpfs", "none", directory.path]
        return (try? Command(unshare, mount).run().succeeded) ?? false
    }

    /// Bytes that cannot be compressed.
    static func noise(_ count: Int) throws -> [UInt8] {
        let source = try OwnedDescriptor.open("/dev/urandom", O_RDONLY)
        var bytes = [UInt8](repeating: 0, count: count)
        let read = try bytes.withMutableBytes { try readSome(source.raw, into: $0) }
        #expect(read == count)
        return bytes
    }
}
