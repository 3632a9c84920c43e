//! What is known of mojibake, as data: categories of characters, characters that stand for the bytes of UTF-8, and
//! single-byte encodings. It knows nothing of how they are used.
//!
//! The heuristics' categories and byte clues are those of ftfy 6.3.1 (Robyn Speer, Apache-2.0), `badness.py` and
//! `chardata.py`; the encodings are those of Unicode's mapping tables.

// Characters that occur in mojibake, by category, as they stand inside a regular expression's brackets.

pub(super) const COMMON: &str = "\u{a0}\u{ad}·´–—―…’";

pub(super) const C1: &str = "\u{80}-\u{9f}";

pub(super) const BAD: &str = "¦¤¨¬¯¸ƒ\u{2c6}\u{2c7}˘˛˜†‡‰⌐◊�ªº";

pub(super) const LAW: &str = "¶§";

pub(super) const CURRENCY: &str = "¢£¥₧€";

pub(super) const START_PUNCTUATION: &str = "¡«¿©΄΅‘‚“„•‹\u{f8ff}";

pub(super) const END_PUNCTUATION: &str = "®»˝”›™";

pub(super) const NUMERIC: &str = "²³¹±¼½¾×µ÷⁄∂∆∏∑√∞∩∫≈≠≡≤≥№";

pub(super) const KAOMOJI: &str = "Ò-ÖÙ-Üò-öø-üŐŌŪŲ°";

pub(super) const UPPER_ACCENTED: &str = "À-ÑØÜÝĂĀĄĆČĎĐĘĚĒĖĞĢİĪĶĹĽŁĻŃŇŅŒŘŚŞŠŢŤŮŰŸŹŻŽҐ";

pub(super) const LOWER_ACCENTED: &str = "ßà-ñăąāćčďđęěēėğģįīķĺľłļœŕśşšťüźżžґﬁﬂ";

pub(super) const UPPER_COMMON: &str = "ÞΑ-ΩΆΈΉΊΌΎΏΪΫЁ-Я";

pub(super) const LOWER_COMMON: &str = "α-ωάέήίΰа-џ";

pub(super) const BOX: &str = "│┌┐┘├┤┬┼═-╬▀▄█▌▐░▒▓";

/// Characters that bytes 0xC2 to 0xDF, the first of two in UTF-8, decode to in some single-byte encoding. Ascending.
pub(super) const UTF8_FIRST_OF_2: &str = "\
     ÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßĀĂĆČĎĐĒĖĘĚĞĢĪİĶĹĻŁŃŅŇŌŐŘŚŞŠŢŪŮŰŲŹŻŽΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩΪΫάέήίВГДЕЖЗИЙКЛ\
     МНОПРСТУФХЦЧШЩЪЫЬЭЮЯ";

/// The same of bytes 0xE0 to 0xEF, the first of three. Ascending.
pub(super) const UTF8_FIRST_OF_3: &str = "àáâãäåæçèéêëìíîïāăąćčďēėęěģīįķĺļŕźΰαβγδεζηθικλμνξοабвгдежзийклмноп";

/// The same of bytes 0xF0 and 0xF3, the first of four. Ascending.
pub(super) const UTF8_FIRST_OF_4: &str = "ðóđğšπσру";

/// The same of bytes 0x80 to 0xBF, the later ones, with a space that stands for 0xA0.
/// Without U+0080 to U+00BF, which belong to it. Ascending.
pub(super) const UTF8_CONTINUATION: &str = "\
     \u{20}ÆØæøĄąĽľŁłŒœŖŗŚśŞşŠšŤťŸŹźŻżŽžƒ\u{2c6}\u{2c7}˘˛˜˝΄΅ΆΈΉΊΌΎΏЁЂЃЄЅІЇЈЉЊЋЌЎЏёђѓєѕіїјљњћќўџҐґ–—―‘’‚“”„†‡\
     •…‰‹›€№™";

/// Of these, the ones that rarely stand for themselves beside mojibake.
/// Without U+0080 to U+00BF, which belong to it. Ascending.
pub(super) const UTF8_CONTINUATION_STRICT: &str =
    "ÆØæøĄąĽľŁłŒœŖŗŚśŞşŠšŤťŸŹźŻżŽžƒ\u{2c6}\u{2c7}˘˛˜˝΄΅ΆΈΉΊΌΎΏЁЂЃЄЅІЇЈЉЊЋЌЎЏёђѓєѕіїјљњћќўџҐґ†‡‰‹›€№™";

/// What bytes 0x80 to 0xFF are in Windows-1252; bytes that it leaves open are the control characters of Latin-1.
pub(super) const WINDOWS_1252: &str = "\
     €\u{81}‚ƒ„…†‡\u{2c6}‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ\u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´µ¶·¸¹º»¼½¾\
     ¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ";

/// What bytes 0x80 to 0xFF are in Windows-1251; bytes that it leaves open are the control characters of Latin-1.
pub(super) const WINDOWS_1251: &str = "\
     ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\u{98}™љ›њќћџ\u{a0}ЎўЈ¤Ґ¦§Ё©Є«¬\u{ad}®Ї°±Ііґµ¶·ё№є»јЅѕїАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШ\
     ЩЪЫЬЭЮЯабвгдежзийклмнопрстуфхцчшщъыьэюя";

/// What bytes 0x80 to 0xFF are in Windows-1250; bytes that it leaves open are the control characters of Latin-1.
pub(super) const WINDOWS_1250: &str = "\
     €\u{81}‚\u{83}„…†‡\u{88}‰Š‹ŚŤŽŹ\u{90}‘’“”•–—\u{98}™š›śťžź\u{a0}\u{2c7}˘Ł¤Ą¦§¨©Ş«¬\u{ad}®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľ\
     żŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙";

/// What bytes 0x80 to 0xFF are in Windows-1253; bytes that it leaves open are the control characters of Latin-1.
pub(super) const WINDOWS_1253: &str = "\
     €\u{81}‚ƒ„…†‡\u{88}‰\u{8a}‹\u{8c}\u{8d}\u{8e}\u{8f}\u{90}‘’“”•–—\u{98}™\u{9a}›\u{9c}\u{9d}\u{9e}\u{9f}\
     \u{a0}΅Ά£¤¥¦§¨©ª«¬\u{ad}®―°±²³΄µ¶·ΈΉΊ»Ό½ΎΏΐΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡÒΣΤΥΦΧΨΩΪΫάέήίΰαβγδεζηθικλμνξοπρςστυφχψωϊϋόύ\
     ώÿ";

/// What bytes 0x80 to 0xFF are in Windows-1254; bytes that it leaves open are the control characters of Latin-1.
pub(super) const WINDOWS_1254: &str = "\
     €\u{81}‚ƒ„…†‡\u{2c6}‰Š‹Œ\u{8d}\u{8e}\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}\u{9e}Ÿ\u{a0}¡¢£¤¥¦§¨©ª«¬\u{ad}®¯°±²³´\
     µ¶·¸¹º»¼½¾¿ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏĞÑÒÓÔÕÖ×ØÙÚÛÜİŞßàáâãäåæçèéêëìíîïğñòóôõö÷øùúûüışÿ";

/// What bytes 0x80 to 0xFF are in Windows-1257; bytes that it leaves open are the control characters of Latin-1.
pub(super) const WINDOWS_1257: &str = "\
     €\u{81}‚\u{83}„…†‡\u{88}‰\u{8a}‹\u{8c}¨\u{2c7}¸\u{90}‘’“”•–—\u{98}™\u{9a}›\u{9c}¯˛\u{9f}\u{a0}¡¢£¤¥¦§Ø©Ŗ\
     «¬\u{ad}®Æ°±²³´µ¶·ø¹ŗ»¼½¾æĄĮĀĆÄÅĘĒČÉŹĖĢĶĪĻŠŃŅÓŌÕÖ×ŲŁŚŪÜŻŽßąįāćäåęēčéźėģķīļšńņóōõö÷ųłśūüżž˙";

/// What bytes 0x80 to 0xFF are in ISO 8859 2.
pub(super) const ISO_8859_2: &str = "\
     \u{80}\u{81}\u{82}\u{83}\u{84}\u{85}\u{86}\u{87}\u{88}\u{89}\u{8a}\u{8b}\u{8c}\u{8d}\u{8e}\u{8f}\u{90}\
     \u{91}\u{92}\u{93}\u{94}\u{95}\u{96}\u{97}\u{98}\u{99}\u{9a}\u{9b}\u{9c}\u{9d}\u{9e}\u{9f}\u{a0}Ą˘Ł¤ĽŚ§¨\
     ŠŞŤŹ\u{ad}ŽŻ°ą˛ł´ľś\u{2c7}¸šşťź˝žżŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢßŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙";

/// What bytes 0x80 to 0xFF are in Mac Roman.
pub(super) const MAC_ROMAN: &str = "\
     ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø¿¡¬√ƒ≈∆«»…\u{a0}ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ‡·‚\
     „‰ÂÊÁËÈÍÎÏÌÓÔ\u{f8ff}ÒÚÛÙı\u{2c6}˜¯˘˙˚¸˝˛\u{2c7}";

/// What bytes 0x80 to 0xFF are in Code Page 437.
pub(super) const CODE_PAGE_437: &str = "\
     ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτ\
     ΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√\u{207f}²■\u{a0}";
