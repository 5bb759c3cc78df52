import Glibc

/// A time in the format of Signature Version 4, `20130524T000000Z`.
struct Timestamp: Hashable, Sendable {
    let text: String

    /// Formats seconds since 1970. gmtime_r(3).
    init(secondsSince1970 seconds: Int) {
        var seconds = seconds
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let date = [Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday)]
        let time = [parts.tm_hour, parts.tm_min, parts.tm_sec].map(Int.init)
        text =
            date.map(Self.twoDigits).joined() + "T" + time.map(Self.twoDigits).joined() + "Z"
    }

    /// The current time. time(2).
    static var now: Timestamp { Timestamp(secondsSince1970: time(nil)) }

    /// The date, `20130524`.
    var day: String { String(text.prefix(8)) }

    private static func twoDigits(_ number: Int) -> String {
        number < 10 ? "0\(number)" : "\(number)"
    }
}
