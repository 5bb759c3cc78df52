import ObjectStore

extension Bucket {
    /// Everything in the store except for the remains of probes: keys and sizes, and the target of
    /// each pointer. Nothing was written as long as it stays the same.
    package func listing() throws -> [String] {
        var lines: [String] = []
        var last: String?
        while true {
            let page = try store.list(prefix: "", startingAfter: last)
            for object in page where !object.key.hasPrefix("probe/") {
                var line = "\(object.key) \(object.size)"
                if object.key.hasSuffix("/pointer") {
                    let name = object.key.dropFirst("repos/".count).dropLast("/pointer".count)
                    line += " \(try pointer(of: String(name)))"
                }
                lines.append(line)
            }
            guard page.count == 1000, let end = page.last else { return lines }
            last = end.key
        }
    }
}
