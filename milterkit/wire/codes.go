package wire

import "github.com/emersion/go-milter"

// The option types of the negotiation are go-milter's, so that masks written
// for it serve here unchanged.
type (
	Actions = milter.OptAction   // what a filter may do to a message (SMFIF_*)
	Steps   = milter.OptProtocol // what it is not shown and does not answer (SMFIP_*)
	Stage   = milter.Stage       // the stages that have a macro list of their own (SMFIM_*)
	Family  = milter.ProtoFamily // the address family of CONNECT (SMFIA_*)
)

// Protocol versions spoken here.
const (
	MinVersion = 2
	MaxVersion = 6
)

// Bounds of a frame, in bytes.
const (
	// MaxFrame is the longest frame that is read, its command byte included.
	MaxFrame = 1 << 20

	// MaxBody is the longest piece of a body in one frame.
	// Source: libmilter's MILTER_CHUNK_SIZE.
	MaxBody = milter.MaxBodyChunk
)

// Commands, from the MTA to the filter.
const (
	CmdNegotiate = byte(milter.CodeOptNeg)      // SMFIC_OPTNEG
	CmdMacros    = byte(milter.CodeMacro)       // SMFIC_MACRO
	CmdConnect   = byte(milter.CodeConn)        // SMFIC_CONNECT
	CmdHelo      = byte(milter.CodeHelo)        // SMFIC_HELO
	CmdMail      = byte(milter.CodeMail)        // SMFIC_MAIL
	CmdRcpt      = byte(milter.CodeRcpt)        // SMFIC_RCPT
	CmdData      = byte(milter.CodeData)        // SMFIC_DATA, version 4
	CmdHeader    = byte(milter.CodeHeader)      // SMFIC_HEADER
	CmdEOH       = byte(milter.CodeEOH)         // SMFIC_EOH
	CmdBody      = byte(milter.CodeBody)        // SMFIC_BODY
	CmdEOM       = byte(milter.CodeEOB)         // SMFIC_BODYEOB
	CmdUnknown   = byte('U')                    // SMFIC_UNKNOWN, version 3
	CmdAbort     = byte(milter.CodeAbort)       // SMFIC_ABORT
	CmdQuit      = byte(milter.CodeQuit)        // SMFIC_QUIT
	CmdQuitNew   = byte(milter.CodeQuitNewConn) // SMFIC_QUIT_NC, version 6
)

// Replies, from the filter to the MTA.
const (
	RepContinue    = byte(milter.ActContinue)     // SMFIR_CONTINUE
	RepAccept      = byte(milter.ActAccept)       // SMFIR_ACCEPT
	RepReject      = byte(milter.ActReject)       // SMFIR_REJECT
	RepTempFail    = byte(milter.ActTempFail)     // SMFIR_TEMPFAIL
	RepDiscard     = byte(milter.ActDiscard)      // SMFIR_DISCARD
	RepReplyCode   = byte(milter.ActReplyCode)    // SMFIR_REPLYCODE
	RepSkip        = byte(milter.ActSkip)         // SMFIR_SKIP, version 6
	RepProgress    = byte('p')                    // SMFIR_PROGRESS
	RepConnFail    = byte('f')                    // SMFIR_CONN_FAIL
	RepShutdown    = byte('4')                    // SMFIR_SHUTDOWN
	RepAddHeader   = byte(milter.ActAddHeader)    // SMFIR_ADDHEADER
	RepInsHeader   = byte(milter.ActInsertHeader) // SMFIR_INSHEADER
	RepChgHeader   = byte(milter.ActChangeHeader) // SMFIR_CHGHEADER
	RepReplaceBody = byte(milter.ActReplBody)     // SMFIR_REPLBODY
	RepQuarantine  = byte(milter.ActQuarantine)   // SMFIR_QUARANTINE
	RepChgFrom     = byte(milter.ActChangeFrom)   // SMFIR_CHGFROM, version 6
	RepAddRcpt     = byte(milter.ActAddRcpt)      // SMFIR_ADDRCPT
	RepAddRcptArgs = byte('2')                    // SMFIR_ADDRCPT_PAR, version 6
	RepDelRcpt     = byte(milter.ActDelRcpt)      // SMFIR_DELRCPT
)

// Actions that a filter may ask for (SMFIF_*).
const (
	ActAddHeader    = milter.OptAddHeader       // SMFIF_ADDHDRS: add and insert
	ActChangeBody   = milter.OptChangeBody      // SMFIF_CHGBODY
	ActAddRcpt      = milter.OptAddRcpt         // SMFIF_ADDRCPT
	ActDelRcpt      = milter.OptRemoveRcpt      // SMFIF_DELRCPT
	ActChangeHeader = milter.OptChangeHeader    // SMFIF_CHGHDRS: change and delete
	ActQuarantine   = milter.OptQuarantine      // SMFIF_QUARANTINE
	ActChangeFrom   = milter.OptChangeFrom      // SMFIF_CHGFROM
	ActAddRcptArgs  = milter.OptAddRcptWithArgs // SMFIF_ADDRCPT_PAR
	ActSetMacros    = milter.OptSetSymList      // SMFIF_SETSYMLIST

	AllActions Actions = 0x1ff    // SMFI_CURR_ACTS
	AllSteps   Steps   = 0x1fffff // SMFI_CURR_PROT
)

// Steps that a filter is not shown, replies that it does not give, and
// manners of speech (SMFIP_*).
const (
	NoConnect = milter.OptNoConnect  // SMFIP_NOCONNECT
	NoHelo    = milter.OptNoHelo     // SMFIP_NOHELO
	NoMail    = milter.OptNoMailFrom // SMFIP_NOMAIL
	NoRcpt    = milter.OptNoRcptTo   // SMFIP_NORCPT
	NoData    = milter.OptNoData     // SMFIP_NODATA
	NoHeader  = milter.OptNoHeaders  // SMFIP_NOHDRS
	NoEOH     = milter.OptNoEOH      // SMFIP_NOEOH
	NoBody    = milter.OptNoBody     // SMFIP_NOBODY
	NoUnknown = milter.OptNoUnknown  // SMFIP_NOUNKNOWN

	NoReplyConnect = milter.OptNoConnReply    // SMFIP_NR_CONN
	NoReplyHelo    = milter.OptNoHeloReply    // SMFIP_NR_HELO
	NoReplyMail    = milter.OptNoMailReply    // SMFIP_NR_MAIL
	NoReplyRcpt    = milter.OptNoRcptReply    // SMFIP_NR_RCPT
	NoReplyData    = milter.OptNoDataReply    // SMFIP_NR_DATA
	NoReplyHeader  = milter.OptNoHeaderReply  // SMFIP_NR_HDR
	NoReplyEOH     = milter.OptNoEOHReply     // SMFIP_NR_EOH
	NoReplyBody    = milter.OptNoBodyReply    // SMFIP_NR_BODY
	NoReplyUnknown = milter.OptNoUnknownReply // SMFIP_NR_UNKN

	CanSkip      = milter.OptSkip               // SMFIP_SKIP: SKIP is understood
	RefusedRcpts = milter.OptRcptRej            // SMFIP_RCPT_REJ: refused recipients are reported too
	LeadingSpace = milter.OptHeaderLeadingSpace // SMFIP_HDR_LEADSPC: values keep the space after the colon
)

// Stages that have a macro list (SMFIM_*).
const (
	StageConnect = milter.StageConnect  // SMFIM_CONNECT
	StageHelo    = milter.StageHelo     // SMFIM_HELO
	StageMail    = milter.StageMailFrom // SMFIM_ENVFROM
	StageRcpt    = milter.StageRcptTo   // SMFIM_ENVRCPT
	StageData    = milter.StageData     // SMFIM_DATA
	StageEOM     = milter.StageEOM      // SMFIM_EOM
	StageEOH     = milter.StageEOH      // SMFIM_EOH
)

// Address families of CONNECT (SMFIA_*).
const (
	FamilyUnknown = milter.FamilyUnknown // SMFIA_UNKNOWN
	FamilyUnix    = milter.FamilyUnix    // SMFIA_UNIX
	FamilyInet    = milter.FamilyInet    // SMFIA_INET
	FamilyInet6   = milter.FamilyInet6   // SMFIA_INET6
)
