import GitProtocol
import Glibc
package import Logging
import Posix

/// Writes each event as one line to standard error, in the format of ``LogLine``. Text from clients
/// cannot imitate any other part of the line.
package struct LineLogHandler: LogHandler {
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    package var logLevel = Logger.Level.info
    private let label: String
    private let write: @Sendable ([UInt8]) -> Void

    /// - Parameter write: writes a line, including its end.
    package init(
        label: String, write: @escaping @Sendable ([UInt8]) -> Void = Self.writeToStandardError
    ) {
        self.label = label
        self.write = write
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let given = event.metadata { all.merge(given) { $1 } }
        if let error = event.error, all["error"] == nil { all["error"] = "\(error)" }
        let line = LogLine(
            time: Self.now(), level: "\(event.level)", label: label,
            fields: all.map { ($0.key, "\($0.value)") }, source: event.source,
            message: "\(event.message)")
        write(line.bytes)
    }

    /// Writes each line with one write(2), so that lines of several threads, and of several
    /// processes that share a pipe, do not mix up to PIPE_BUF.
    package static func writeToStandardError(_ line: [UInt8]) {
        // A log that nobody can read anymore must not stop the work.
        try? writeAll(STDERR_FILENO, line)
    }

    /// ISO 8601, in local time. strftime(3).
    private static func now() -> String {
        var now = time(nil)
        var parts = tm()
        localtime_r(&now, &parts)
        var buffer = [CChar](repeating: 0, count: 64)
        let count = strftime(&buffer, buffer.count, "%Y-%m-%dT%H:%M:%S%z", &parts)
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// A line of the log: `TIME LEVEL LABEL: KEY=VALUE … [SOURCE] MESSAGE`, keys in their order.
///
/// It contains only printable ASCII. Keys and messages are constants of the program; values are
/// written as ``PrintableText/logValue(_:limit:)``.
struct LogLine {
    /// Includes the newline.
    let bytes: [UInt8]

    /// PIPE_BUF: a write(2) of up to this size to a pipe is never mixed with another one.
    static let wholeSize = 4096

    /// The size in bytes of one value; less if there are so many values that the line would be too
    /// long.
    private static let valueLimits = [1200, 400, 100, 24]

    init(
        time: String, level: String, label: String, fields: [(key: String, value: String)],
        source: String, message: String
    ) {
        let sorted = fields.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        func line(_ limit: Int) -> [UInt8] {
            let values = sorted.map {
                " \(Self.key($0.key))=\(PrintableText.logValue($0.value, limit: limit))"
            }
            let tail = "[\(Self.key(source))] \(Self.plain(message))\n"
            return Array("\(time) \(level) \(label):\(values.joined()) \(tail)".utf8)
        }
        bytes =
            Self.valueLimits.lazy.map(line).first { $0.count <= Self.wholeSize }
            ?? line(Self.valueLimits[Self.valueLimits.count - 1])
    }

    /// A key consists of letters, digits, `.`, `_` and `-`.
    private static func key(_ text: String) -> String {
        let bytes = text.utf8.prefix(64).map { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"):
                byte
            default: UInt8(ascii: "_")
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A message is never quoted, since it extends to the end of the line.
    private static func plain(_ message: String) -> String {
        let isPlain =
            message.utf8.count <= 200 && message.utf8.allSatisfy { (0x20...0x7e).contains($0) }
        return isPlain ? message : PrintableText.logValue(message, limit: 200)
    }
}
