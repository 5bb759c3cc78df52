import Glibc

/// Lists of `NAME=value`. environ(7).
package enum Environment {
    /// The environment that this process was started with.
    package static let current = variables(in: environ)

    /// Reads a list as environ(7) and libfcgi keep it, up to its null pointer.
    ///
    /// - Returns: the values by name. Entries are split at the byte `=`, since a value may begin with
    ///   a character that would combine with it.
    package static func variables(
        in list: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
    ) -> [String: String] {
        var variables: [String: String] = [:]
        guard var entry = list else { return variables }
        while let pointer = entry.pointee {
            let text = String(cString: pointer)
            if let equals = text.utf8.firstIndex(of: UInt8(ascii: "=")) {
                variables[String(text[..<equals])] = String(text[text.utf8.index(after: equals)...])
            }
            entry += 1
        }
        return variables
    }
}
