import ArgumentParser
import Bytes
import Glibc
import ObjectStore

/// A setting's text and its source, which error messages contain.
struct Setting {
    let text: String
    /// `--workers`, or `GIT_S3_BACKEND_WORKERS`.
    let source: String

    /// The option's text, or else the variable's; nil if neither is set.
    init?(option: String?, _ name: String, in environment: [String: String]) {
        let variable =
            "GIT_S3_BACKEND_" + name.uppercased().replacing("-", with: "_")
        if let option {
            text = option
            source = "--\(name)"
        } else if let value = environment[variable], !value.isEmpty {
            text = value
            source = variable
        } else {
            return nil
        }
    }

    /// An integer in a range.
    func number(in range: ClosedRange<Int>) throws -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw ValidationError(
                "Invalid value '\(text)' for \(source): expected an integer from "
                    + "\(range.lowerBound) to \(range.upperBound).")
        }
        return number
    }

    /// One of a few words.
    func choice<Choice: CaseIterable & RawRepresentable<String>>() throws -> Choice {
        guard let choice = Choice(rawValue: text) else {
            let words = Choice.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError(
                "Invalid value '\(text)' for \(source): expected one of \(words).")
        }
        return choice
    }

    /// The permissions of a file, in octal digits.
    func mode() throws -> mode_t {
        guard let mode = mode_t(text, radix: 8), mode <= 0o777 else {
            throw ValidationError(
                "Invalid value '\(text)' for \(source): expected octal permissions such as 0660.")
        }
        return mode
    }

    /// Bytes: a number with an optional K, M, G or T (and `iB`) for powers of 1024.
    func bytes() throws -> Int64 {
        guard let count = byteCount(text) else {
            throw ValidationError(
                "Invalid value '\(text)' for \(source): expected a size such "
                    + "as 1048576, 512M or 10GiB.")
        }
        return count
    }

    /// A time: a number of seconds, or one with `ms`, `s`, `m` or `h`.
    func duration() throws -> Duration {
        let units: [(suffix: String, milliseconds: Int64)] = [
            ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("", 1000),
        ]
        for unit in units where text.hasSuffix(unit.suffix) {
            guard let number = Int64(text.dropLast(unit.suffix.count)),
                (0...100_000_000).contains(number)
            else { break }
            return .milliseconds(number * unit.milliseconds)
        }
        throw ValidationError(
            "Invalid value '\(text)' for \(source): expected a time such as "
                + "30, 500ms, 10m or 1h.")
    }

    /// Words of letters and digits, separated by commas or spaces.
    func words() throws -> [String] {
        let words = text.split { $0 == "," || $0 == " " }.map(String.init)
        let areValid = words.allSatisfy { $0.utf8.allSatisfy(Self.isLetterOrDigit) }
        guard !words.isEmpty, areValid else {
            throw ValidationError(
                "Invalid value '\(text)' for \(source): expected words of letters and digits.")
        }
        return words
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
            || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    /// Yes or no.
    func flag() throws -> Bool {
        switch text.lowercased() {
        case "1", "true", "yes", "on": return true
        case "0", "false", "no", "off": return false
        default: throw ValidationError("Invalid value '\(text)' for \(source): expected yes or no.")
        }
    }
}
