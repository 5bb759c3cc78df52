import Glibc
import Posix
import Synchronization

/// The room that local copies take, bounded, and shared by all processes of a state directory.
///
/// How much is used is written down in one small file, under its lock: who adds something adds its
/// size there. Only where the sum goes over the limit, or is an hour old, are the directories read,
/// and what was used least recently removed. A sum that a crash made wrong is right again then.
///
/// Removing a file hurts no request: a workspace has a name of its own for it.
final class CacheSpace: Sendable {
    /// Bytes.
    let limit: Int64
    private let directories: [String]
    private let sizeFile: String
    /// Bytes that were added by this process and could not be written down; nil: none yet.
    private let uncounted = Mutex<Int64?>(nil)

    /// - Parameter directories: whose files are counted, and may be removed.
    init(limit: Int64, sizeFile: String, directories: [String]) {
        self.limit = limit
        self.sizeFile = sizeFile
        self.directories = directories
    }

    /// Seconds after which the sum is made anew.
    private static let maximumAge = 3600

    /// Takes note of what was added, and makes room where that is more than may be.
    func note(added bytes: Int64) {
        let isNoted = withSizeFile { file in
            let entry = Self.read(file)
            if let entry, abs(time(nil) - entry.time) < Self.maximumAge,
                entry.total + bytes <= limit
            {
                Self.write(entry.total + bytes, entry.time, to: file)
            } else {
                // A little less than the limit, so that this is not done for each addition.
                Self.write(trim(over: limit, to: lowWater), time(nil), to: file)
            }
        }
        if !isNoted { noteAlone(bytes) }
    }

    private var lowWater: Int64 { limit / 8 * 7 }

    /// Without the size file the directories are read now and then.
    private func noteAlone(_ bytes: Int64) {
        let isDue = uncounted.withLock { uncounted in
            let sum = uncounted.map { $0 + bytes }
            let isDue = sum.map { $0 > limit / 8 } ?? true
            uncounted = isDue ? 0 : sum
            return isDue
        }
        if isDue { _ = trim(over: limit, to: lowWater) }
    }

    /// Removes what was used least recently, because the disk is full.
    ///
    /// - Parameter share: how much of what is there may stay.
    func shrink(to share: Share) {
        let total = entries().reduce(0) { $0 + $1.bytes }
        let target = share == .half ? total / 2 : 0
        let left = trim(over: target, to: target)
        _ = withSizeFile { Self.write(left, time(nil), to: $0) }
    }

    /// How much may stay.
    enum Share: CaseIterable { case half, nothing }

    /// What belongs together and is removed together: files of one name and several suffixes.
    struct Entry {
        let base: String
        var suffixes: [String] = []
        var bytes: Int64 = 0
        /// When it was last used: an index's time of modification, which git leaves alone. That of
        /// packs it freshens.
        var used = timespec()
        var isDated = false
    }

    /// Everything that is kept.
    func entries() -> [Entry] {
        directories.flatMap { directory -> [Entry] in
            // Not there, or not ours to read: nothing is counted.
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

    /// - Returns: bytes that are left.
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

    /// How long the size file is waited for: a scan of many thousand files takes no longer.
    private static let patience = Duration.seconds(5)

    /// - Returns: false: it cannot be made or opened, or is held too long.
    private func withSizeFile(_ body: (Int32) -> Void) -> Bool {
        let start = ContinuousClock.now
        guard
            let lock = try? FileLock.wait(
                for: sizeFile, until: { .now - start > Self.patience })
        else { return false }
        body(lock.file.raw)
        return true
    }

    /// The sum and when it was made; nil: there is none, or no such text.
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
        // What cannot be written is no sum for the next reader, who makes it anew.
        try? writeAll(file, Array("\(total) \(time) \n".utf8))
    }
}
