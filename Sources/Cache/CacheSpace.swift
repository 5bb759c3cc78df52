import Glibc
import Posix
import Synchronization

/// The disk space of the cache, which is bounded and shared by all processes of a state directory.
///
/// One small file, the size file, records the total size under its lock; each addition is added to
/// it. The directories are read only if the total exceeds the limit or is an hour old, and then the
/// least recently used entries are removed. This also corrects a total that a crash left wrong.
///
/// Removing a file does not affect requests, since a workspace has a hard link of its own.
package final class CacheSpace: Sendable {
    /// The limit, in bytes.
    let limit: Int64
    private let directories: [String]
    private let sizeFile: String
    /// The bytes that this process added and could not record; nil if there are none.
    private let uncounted = Mutex<Int64?>(nil)

    /// - Parameter directories: the directories whose files are counted, and may be removed.
    init(limit: Int64, sizeFile: String, directories: [String]) {
        self.limit = limit
        self.sizeFile = sizeFile
        self.directories = directories
    }

    /// The age in seconds from which on the total is recomputed.
    private static let maximumAge = 3600

    /// Records an addition, and makes room if the total exceeds the limit.
    func note(added bytes: Int64) {
        let isNoted = withSizeFile { file in
            let entry = Self.read(file)
            if let entry, abs(time(nil) - entry.time) < Self.maximumAge,
                entry.total + bytes <= limit
            {
                Self.write(entry.total + bytes, entry.time, to: file)
            } else {
                // Removes a little more than necessary, so that this does not happen with each
                // addition.
                Self.write(trim(over: limit, to: lowWater), time(nil), to: file)
            }
        }
        if !isNoted { noteAlone(bytes) }
    }

    private var lowWater: Int64 { limit / 8 * 7 }

    /// Without the size file the directories are read from time to time.
    private func noteAlone(_ bytes: Int64) {
        let isDue = uncounted.withLock { uncounted in
            let sum = uncounted.map { $0 + bytes }
            let isDue = sum.map { $0 > limit / 8 } ?? true
            uncounted = isDue ? 0 : sum
            return isDue
        }
        if isDue { _ = trim(over: limit, to: lowWater) }
    }

    /// Removes the least recently used entries, because the disk is full.
    ///
    /// - Parameter share: the share of the current contents that may stay.
    package func shrink(to share: Share) {
        let total = entries().reduce(0) { $0 + $1.bytes }
        let target = share == .half ? total / 2 : 0
        let left = trim(over: target, to: target)
        _ = withSizeFile { Self.write(left, time(nil), to: $0) }
    }

    /// A share of the contents that may stay.
    package enum Share: CaseIterable { case half, nothing }

    /// Files that are removed together: those of one name with several suffixes.
    struct Entry {
        let base: String
        var suffixes: [String] = []
        var bytes: Int64 = 0
        /// The time of the last use, which is an index's modification time. git does not change
        /// that, but updates that of packs.
        var used = timespec()
        var isDated = false
    }

    /// All entries of the cache.
    func entries() -> [Entry] {
        directories.flatMap { directory -> [Entry] in
            // A directory that does not exist, or cannot be read, counts as empty.
            guard let names = try? Files.names(in: directory) else { return [] }
            var found: [Substring: Entry] = [:]
            for name in names {
                var status = stat()
                guard lstat("\(directory)/\(name)", &status) == 0,
                    status.st_mode & S_IFMT == S_IFREG
                else { continue }
                let stem = name.prefix { $0 != "." }
                let suffix = String(name.dropFirst(stem.count))
                var entry = found[stem] ?? Entry(base: "\(directory)/\(stem)")
                entry.suffixes.append(suffix)
                entry.bytes += Int64(status.st_size)
                if suffix == PackCache.Suffix.index || !entry.isDated {
                    entry.used = status.st_mtim
                    entry.isDated = suffix == PackCache.Suffix.index
                }
                found[stem] = entry
            }
            return Array(found.values)
        }
    }

    /// - Returns: the remaining size in bytes.
    private func trim(over bound: Int64, to target: Int64) -> Int64 {
        var entries = entries()
        var total = entries.reduce(0) { $0 + $1.bytes }
        guard total > bound else { return total }
        entries.sort {
            ($0.used.tv_sec, $0.used.tv_nsec) < ($1.used.tv_sec, $1.used.tv_nsec)
        }
        for entry in entries {
            if total <= target { break }
            PackCache.remove(entry.base, entry.suffixes)
            total -= entry.bytes
        }
        return total
    }

    /// The longest wait for the size file; a scan of many thousands of files takes no longer.
    private static let patience = Duration.seconds(5)

    /// - Returns: false if the size file cannot be created or opened, or is locked for too long.
    private func withSizeFile(_ body: (Int32) -> Void) -> Bool {
        let start = ContinuousClock.now
        guard
            let lock = try? FileLock.wait(
                for: sizeFile, until: { .now - start > Self.patience })
        else { return false }
        body(lock.file.raw)
        return true
    }

    /// The total and the time at which it was computed; nil if the file does not contain them.
    private static func read(_ file: Int32) -> (total: Int64, time: Int)? {
        lseek(file, 0, SEEK_SET)
        guard let bytes = try? Files.readToEnd(file, limit: 1000, subject: "cache-size") else {
            return nil
        }
        let words = String(decoding: bytes, as: UTF8.self).split(separator: " ")
        guard words.count == 3, words[2] == "\n", let total = Int64(words[0]), total >= 0,
            total < 1 << 60, let time = Int(words[1])
        else { return nil }
        return (total, time)
    }

    private static func write(_ total: Int64, _ time: Int, to file: Int32) {
        lseek(file, 0, SEEK_SET)
        ftruncate(file, 0)
        // If the write fails, the next reader finds no total and recomputes it.
        try? writeAll(file, Array("\(total) \(time) \n".utf8))
    }
}
