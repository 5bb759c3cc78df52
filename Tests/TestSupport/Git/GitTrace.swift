import Posix

/// A git client that has ended, with what it sent and received on its way.
package struct TracedRun: Sendable, CustomStringConvertible {
    package let result: CommandResult
    /// Its requests in order: method, path with query, status of the answer.
    package let requests: [String]
    /// The headers that it sent.
    package let sentHeaders: [String]
    /// pkt-lines as git notes them, `fetch> want …` say. GIT_TRACE_PACKET in git(1).
    package let packets: [String]

    package var succeeded: Bool { result.succeeded }
    package var errors: String { result.errors }
    package var text: String { result.text }

    package var description: String {
        "\(result)\n\(requests.joined(separator: "\n"))\n\(packets.joined(separator: "\n"))"
    }

    fileprivate init(_ result: CommandResult, curl: String, packets: String) {
        func tails(of trace: String, behind mark: String) -> [String] {
            trace.split(separator: "\n").compactMap { line in
                line.firstRange(of: mark).map { String(line[$0.upperBound...]) }
            }
        }
        self.result = result
        self.packets = tails(of: packets, behind: "packet:").map { String($0.drop { $0 == " " }) }
        sentHeaders = tails(of: curl, behind: "=> Send header: ")

        var requests: [String] = []
        for line in curl.split(separator: "\n") {
            if let sent = line.firstRange(of: "=> Send header: ") {
                let words = line[sent.upperBound...].split(separator: " ")
                guard words.count == 3, words[2].hasPrefix("HTTP/") else { continue }
                requests.append("\(words[0]) \(words[1])")
            } else if let received = line.firstRange(of: "<= Recv header: HTTP/1.1 ") {
                let status = line[received.upperBound...].prefix(3)
                if status != "100", let last = requests.popLast() {
                    requests.append("\(last) \(status)")
                }
            }
        }
        self.requests = requests
    }
}

extension GitClient {
    /// Runs git to its end and notes what it sends and receives.
    package func traced(
        _ arguments: [String], in directory: String? = nil, environment: [String: String] = [:]
    ) throws -> TracedRun {
        let scratch = try TemporaryDirectory()
        let trace = [
            "GIT_TRACE_CURL": scratch.path + "/curl", "GIT_TRACE_CURL_NO_DATA": "1",
            "GIT_TRACE_PACKET": scratch.path + "/packets",
        ]
        let result = try run(
            arguments, in: directory, environment: environment.merging(trace) { $1 })
        func read(_ name: String) throws -> String {
            guard try Files.size(of: "\(scratch.path)/\(name)") != nil else { return "" }
            return String(decoding: try Files.read("\(scratch.path)/\(name)"), as: UTF8.self)
        }
        return TracedRun(result, curl: try read("curl"), packets: try read("packets"))
    }
}

extension WorkTree {
    /// Runs git in the repository, however it ends, and notes what it sends and receives.
    package func traced(
        _ arguments: String..., environment: [String: String] = [:]
    ) throws -> TracedRun {
        try client.traced(arguments, in: path, environment: environment)
    }
}
