import Glibc
import Posix

extension Service {
    /// Counts the bytes of the files that the server keeps: those in `directory`, and those that its
    /// processes have open, deleted ones included. proc(5).
    ///
    /// Programs that it has started are of its group, and are left out.
    package func bytesOnDisk(in directory: String) throws -> Int {
        var files: [FileIdentity: Int] = [:]
        Self.add(directory, to: &files)
        let own = Self.target(of: "/proc/\(identifier)/exe")
        for process in try Files.names(in: "/proc") {
            guard let number = pid_t(process), getpgid(number) == identifier,
                Self.target(of: "/proc/\(process)/exe") == own
            else { continue }
            // It may be gone by now.
            for name in (try? Files.names(in: "/proc/\(process)/fd")) ?? [] {
                Self.count("/proc/\(process)/fd/\(name)", in: &files)
            }
        }
        return files.values.reduce(0, +)
    }

    private struct FileIdentity: Hashable {
        let device: dev_t
        let number: ino_t
    }

    /// Adds what is in a directory. Files that vanish in the meantime do not count.
    private static func add(_ directory: String, to files: inout [FileIdentity: Int]) {
        for name in (try? Files.names(in: directory)) ?? [] {
            let path = "\(directory)/\(name)"
            var status = stat()
            if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
                add(path, to: &files)
            } else {
                count(path, in: &files)
            }
        }
    }

    private static func count(_ path: String, in files: inout [FileIdentity: Int]) {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return }
        files[FileIdentity(device: status.st_dev, number: status.st_ino)] = Int(status.st_size)
    }

    /// readlink(2).
    private static func target(of path: String) -> [CChar] {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let count = readlink(path, &buffer, buffer.count)
        return Array(buffer.prefix(max(0, count)))
    }
}
