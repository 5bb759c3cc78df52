import TestSupport
import Testing

extension EndToEnd {
    /// The subject of git's t5562: a CGI, the length declared for a body, and the body itself.
    @Suite(.tags(.front)) struct ContentLengthMatrixTests {
        private struct Fixture {
            let cgi: CGIRun
            let site: Site
            let repository: String
            let tree: WorkTree
            let tip: String

            init() throws {
                site = try Site.shared(.file)
                var setup = site.setup
                setup.state = try TemporaryDirectory()
                cgi = try CGIRun(setup)
                (repository, tree) = try seeded(site)
                tip = try tree.git("rev-parse", "HEAD")
            }

            /// A push of a new branch.
            func push() throws -> [UInt8] {
                let next = try tree.commit("next")
                return PushBody(
                    [.init(old: nil, new: next, "refs/heads/new")], capabilities: "report-status",
                    pack: try tree.pack([next, "^\(tip)"])
                ).bytes
            }

            func post(
                _ service: String, _ input: [UInt8], length: String, _ encoding: String
            ) throws -> HTTPMessage {
                let result = try cgi.run(
                    "POST", "/\(repository).git/git-\(service)",
                    variables: [
                        "CONTENT_TYPE": "application/x-git-\(service)-request",
                        "REMOTE_USER": "alice", "HTTP_CONTENT_ENCODING": encoding,
                        "CONTENT_LENGTH": length,
                    ], input: .bytes(input))
                return try CGIRun.parse(result.checked().output)
            }
        }

        @Test(arguments: ["", "gzip"])
        func wholeBodiesAreTakenAndOthersRefused(encoding: String) throws {
            let fixture = try Fixture()
            let pointer = try fixture.site.bucket.pointer(of: fixture.repository)
            func encoded(_ bytes: [UInt8]) throws -> [UInt8] {
                encoding.isEmpty ? bytes : try gzip(bytes)
            }
            let (wants, push) = (
                try encoded(Site.wants([fixture.tip])), try encoded(fixture.push())
            )
            for (service, body) in [("upload-pack", wants), ("receive-pack", push)] {
                for cut in [10, body.count / 2, body.count - 1] {
                    let part = Array(body.prefix(cut))
                    // The length of the whole body, of the part that is sent, and none.
                    for length in ["\(body.count)", "\(cut)", ""] {
                        let answer = try fixture.post(service, part, length: length, encoding)
                        let isTold = answer.status == 200 && answer.text.contains("unpack ")
                        #expect(
                            answer.status == 400 || isTold,
                            "\(service) \(cut) '\(length)': \(answer.start) \(answer.text)")
                        #expect(!answer.text.contains("unpack ok"))
                        #expect(!answer.text.contains("PACK"))
                    }
                }
                let nothing = try fixture.post(service, [], length: "\(body.count)", encoding)
                #expect(nothing.status == 400, "\(service): \(nothing.start)")
            }
            #expect(try fixture.site.bucket.pointer(of: fixture.repository) == pointer)

            for length in ["\(wants.count)", ""] {
                let answer = try fixture.post("upload-pack", wants, length: length, encoding)
                #expect(answer.status == 200 && answer.text.contains("PACK"), "\(answer.start)")
            }
            // Bytes beyond the declared length are not read.
            let more = try fixture.post(
                "receive-pack", push + Array("0000garbage".utf8), length: "\(push.count)", encoding)
            #expect(more.text.contains("ok refs/heads/new"), "\(more.start) \(more.text)")
            let copy = try WorkTree.clone(fixture.site.anonymousURL(fixture.repository), "-q")
            #expect(
                try copy.git("rev-parse", "origin/new") == fixture.tree.git("rev-parse", "HEAD"))
        }

        @Test func lengthsThatAreNoneAre400AndAnEmptyOneIsNotZero() throws {
            let fixture = try Fixture()
            let wants = Site.wants([fixture.tip])
            for length in [
                "9223372036854775808", "18446744073709551616", "99999999999999999999999999", "-1",
                "+5", "0x10", " 5", "5 ", "1e3", "5, 5", "five",
            ] {
                let answer = try fixture.post("upload-pack", wants, length: length, "")
                #expect(answer.status == 400, "'\(length)': \(answer.start)")
            }
            // Standard input ends early: all of the body is read, but it is too short.
            let huge = try fixture.post("upload-pack", wants, length: "9223372036854775807", "")
            #expect(huge.status == 400 || huge.status == 413, "\(huge.start)")
            #expect(try fixture.post("upload-pack", wants, length: "", "").text.contains("PACK"))
            #expect(try fixture.post("upload-pack", wants, length: "0", "").status == 400)

            // A GET has no body, whatever length is declared.
            for length in ["", "0", "100"] {
                let answer = try fixture.cgi.request(
                    "GET", "/\(fixture.repository).git/info/refs", query: "service=git-upload-pack",
                    variables: ["CONTENT_LENGTH": length])
                #expect(answer.status == 200, "'\(length)'")
            }
        }
    }
}
